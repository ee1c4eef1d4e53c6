"""The command `ragstone`. `app` is the group; a command gets a `session` (who to ask, how to say it) and says what
came with `output`. `asking`, `sending`, `letters`, `keys`, `status` and `doctor` hold the commands named after them.
"""
