"""HTTP as a hostile internet speaks it."""
