"""Names of an operator set; nothing is exported, so there are none."""
