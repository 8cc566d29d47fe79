"""The HLS packager, module by module, and whole with real encoders and strict readers."""
