"""A local folder or an S3 bucket behind the same few verbs, and files that are whole or not there.

=============  =====================================================================
``store``      the verbs, and the names that a store takes
``opening``    ``open_store``, which picks the kind of store by its URI
``local``      a folder as a store
``s3``         a bucket's prefix as a store; ``s3_*`` serve it
``atomic``     writing, publishing and checking single local files
``folders``    preparing a whole local folder once
``verified``   files that carry their own sha256 in their name
``sealed``     files of facts with a checksum at their end
``documents``  small files of facts, JSON or TOML
``bounded``    answers of servers, up to a size
``timed``      connections on which an answer has its time
``retry``      the one retry policy of everything that talks to a server
=============  =====================================================================
"""

from gtrans_core.storage.atomic import (
    file_error,
    is_full,
    nearest_existing,
    publish,
    replacing,
    require_free_space,
    require_writable,
    sha256_file,
    storage_error,
    write_atomic,
)
from gtrans_core.storage.folders import exclusive, prepare_folder
from gtrans_core.storage.local import LocalStore
from gtrans_core.storage.opening import open_store
from gtrans_core.storage.retry import QUICKLY, RetryPolicy, TransientError, retrying
from gtrans_core.storage.store import (
    Entry,
    Store,
    TooLargeError,
    checked_name,
    without_secrets,
)

__all__ = [
    "QUICKLY",
    "Entry",
    "LocalStore",
    "RetryPolicy",
    "Store",
    "TooLargeError",
    "TransientError",
    "checked_name",
    "exclusive",
    "file_error",
    "is_full",
    "nearest_existing",
    "open_store",
    "prepare_folder",
    "publish",
    "replacing",
    "require_free_space",
    "require_writable",
    "retrying",
    "sha256_file",
    "storage_error",
    "without_secrets",
    "write_atomic",
]
