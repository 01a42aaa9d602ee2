"""Code of strangers and of models, run in processes of their own that can reach little and are killed on time.

`pool` keeps workers that answer calls, `program` runs one snippet, `levels` says how well a process is confined here.
`child` is what runs in the confined process; it needs nothing but the standard library.
"""
