"""The live server: page, REST interface, WebSocket and metrics of a run.

`app` puts the application together from `routes/`, `auth` and `security`; `http_server` serves it
with `request_timeout`; `viewers/` holds the newest results, the JPEG encoder and the WebSocket;
`live/` is the run behind it: start, hot reload, zones, events; `still` is one picture whose zones
are drawn; `page/` is what the browser loads.
"""
