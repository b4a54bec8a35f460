"""A store: every `.eml` file of the maildrop's directory is a message, and the name
of the file its unique-id. What it exports is in store.py: componentize-py looks for a
resource in the module that is called like its interface."""

import store as _store  # noqa: F401

from restante_guest import log_to_host

log_to_host()
