"""Work for later, for all subsystems: what is to be done is a row in the database, done by whichever process leases it
first."""
