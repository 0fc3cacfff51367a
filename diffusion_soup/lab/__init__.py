"""The lab: a small world of pictures in which the papers' claims are measured."""
