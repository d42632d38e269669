"""What answers: whose is this signal, which touch earned this conversion, a day at a time and one request at a time."""
