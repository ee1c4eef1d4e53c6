"""The queue on Kafka. What flows through, in order:

`task_queue` is the port's two halves in one object. Publishing: `messages` writes a pointer, `sending` hands it to the
brokers, `window` knows from the brokers alone what is in flight. Consuming: `stage_consumer` has the thread that never
stops polling (through `reading`), `progress` turns completions in any order into commits in order, `parking` puts aside
what is no message of ours, `announcing` tells the same topic of dead letters. `connection` says how each client is
configured, `topics` what must be there before.
"""
