"""The command line of taskgroup, installed as the package ``taskgroup_cli``."""
