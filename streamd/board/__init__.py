"""The show board: programmes, who watched them, what was sold in them. Counted from what stands in the database."""
