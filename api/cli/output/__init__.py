"""What commands print: tables, times, events in one line, progress bars, questions, logs."""
