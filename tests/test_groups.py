"""That tests which share what is expensive run in one process, one behind the other."""

import pytest


@pytest.mark.xdist_group('together')
def test_groups_reach_the_one_who_hands_tests_out(request):
    """With pytest 9.2, which does not read what pytest-xdist 3.8 writes, nothing fails and everything is made twice."""
    if request.config.getoption('loadgroup', default=False):
        assert request.node.nodeid.endswith('@together')
