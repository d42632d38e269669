"""The gate measured: poisoned candidates, candidates that differ by chance alone, and candidates that are better by what is declared."""
