"""The processes: settings, wiring, HTTP, access, workers. `python -m services <process>` starts one.

What flows through, in order: `settings` reads the environment once → `wiring` makes objects of it (the heavy imports
are inside its branches) → `processes` runs what the process is made of → `http` puts it on the wire. `supervisor`
starts and watches the processes of an embedded install.
"""
