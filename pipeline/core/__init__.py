"""Foundation of every other package: data types, interfaces, boxes, queues, threads, files."""
