"""A live stream inside one worker: who may publish it, what is known of it, and who is watching it as it comes."""
