#!/bin/bash
# One run on several nodes of a SLURM cluster:
#     sbatch scripts/slurm.sh --config=configs/cyclegan_horse2zebra.py --config.batch_size=16 --workdir=/shared/runs/zebra
#
# The same command, submitted again, goes on from the newest checkpoint.
#SBATCH --job-name=gan_transfer
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=8   # one process for each GPU
#SBATCH --gpus-per-node=8
#SBATCH --cpus-per-task=8
#SBATCH --time=24:00:00
#SBATCH --signal=TERM@120     # two minutes before the end: time to save
#SBATCH --requeue
#SBATCH --open-mode=append
set -euo pipefail

source .venv/bin/activate
# --kill-on-bad-exit: when a process is lost, none is left waiting, whatever state it is in.
# --cpus-per-task: since SLURM 22.05 srun does not take it from the job.
srun --kill-on-bad-exit=1 --cpus-per-task="$SLURM_CPUS_PER_TASK" python launch.py --mode=train "$@"
