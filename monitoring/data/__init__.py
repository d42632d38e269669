"""Is what comes in whole and right? Measures of each event table and day, taken before anything is trained or served."""
