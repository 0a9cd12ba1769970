"""The PyTorch reference of ALBEF ("Align before Fuse", arXiv:2107.07651): models with the official tensor names, their
training, evaluation, and the golden data that the runtime is checked against."""
