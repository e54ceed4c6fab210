#!/bin/sh
# sbatch --array=0-15 deploy/batch/slurm.sh MASTERS PYRAMIDS [OPTION...]
# Exit status 1: some files of this part failed; the report says which and why. Submit again to go on.
#SBATCH --job-name=vitrine-ingest
#SBATCH --cpus-per-task=4
#SBATCH --mem=4G
#SBATCH --requeue
set -eu

[ $# -ge 2 ] || { echo "usage: sbatch --array=0-15 $0 MASTERS PYRAMIDS [OPTION...]" >&2; exit 2; }
masters=$1 pyramids=$2
shift 2
exec vitrine ingest "$masters" --into "$pyramids" --shard auto --jobs "${SLURM_CPUS_PER_TASK:-4}" \
    --report "report-${SLURM_ARRAY_TASK_ID:-0}.jsonl" "$@"
