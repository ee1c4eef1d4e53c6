"""The processes: settings, wiring, HTTP, access, workers. `python -m services <process>` starts one.

What flows through, in order: `settings` reads the environment once → `wiring` makes objects of it (the heavy imports
are inside its branches; `api_wiring` and `work_wiring` make what their roles need) → `api_process`, `work_process` or
`index_process` runs it → `http` puts it on the wire. `supervisor` starts and watches the processes of an embedded
install; one that was started alone has its own `standing`, and `probes` for those who ask how it is.
"""
