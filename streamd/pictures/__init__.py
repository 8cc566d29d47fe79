"""Pictures that people upload: decoded, bounded, made anew, kept by content, served for ever under their names."""
