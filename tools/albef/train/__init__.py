"""Training: ``python -m albef.train --task pretrain|retrieval|vqa``."""
