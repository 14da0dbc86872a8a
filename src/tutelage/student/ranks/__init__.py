"""What several GPUs need: gradients summed over the ranks, and a student in shards by FSDP2 or by DeepSpeed's ZeRO-3.

How the processes find each other is told elsewhere (tutelage/distributed.py).
"""
