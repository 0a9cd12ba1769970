"""One thread for PyTorch: the models here are tiny, and waiting for a busy core costs more than a second thread gives."""

import torch

torch.set_num_threads(1)
