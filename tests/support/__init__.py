"""What tests share: a clock of their own, real servers on free ports, real peers."""
