"""Property tests draw the same examples in every run, and no example is too slow for a busy machine."""

from hypothesis import settings

settings.register_profile("taskgroup", derandomize=True, deadline=None)
settings.load_profile("taskgroup")
