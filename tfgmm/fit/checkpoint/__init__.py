"""What a fit has done so far, on the disk: a fit that was killed goes on from there, to the same bytes."""
