"""What every part stands on: data types, interfaces, boxes, queues, threads, files."""
