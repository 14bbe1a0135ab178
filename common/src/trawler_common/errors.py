"""The two kinds of failure of a dependency. A caller that only has to know whether trying again may
help names these two, and no list of types.

Transient
├── ApiUnavailable, Conflict, WatchExpired      of the Kubernetes API (`kube`)
├── StoreUnavailable                            of the object store (`store`)
└── RequestTimeout                              of the bus (`bus`)
Permanent
├── NotFound, Rejected                          of the Kubernetes API
└── StoreRefused                                of the object store
"""


class Transient(Exception):
    """Trying again later, or with a fresh look, may help."""


class Permanent(Exception):
    """Trying the same again does not help."""
