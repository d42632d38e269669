"""What serving costs: scoring alone, whole requests, and the time that they take, against what people use today."""
