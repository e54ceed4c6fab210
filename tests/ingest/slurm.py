"""A real Slurm of one machine for the tests: munged, slurmctld and slurmd on loopback, all in a folder of their own."""
import getpass
import os
import shutil
import socket
import subprocess
import tempfile

from server import die_with_us, free_port, until

CONFIG = """ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={control}
SlurmdPort={node}
AuthType=auth/munge
CredType=cred/munge
AuthInfo=socket={home}/munge.sock
SlurmUser={user}
SlurmdUser={user}
StateSaveLocation={home}/state
SlurmdSpoolDir={home}/spool
SlurmctldPidFile={home}/ctld.pid
SlurmdPidFile={home}/d.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SchedulerParameters=sched_interval=1
SlurmdParameters=config_overrides
ReturnToService=2
NodeName={host} NodeAddr=127.0.0.1 CPUs=4 RealMemory=8192 State=UNKNOWN
PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""
PROGRAMS = {"munged": "/usr/sbin/munged", "slurmctld": "/usr/sbin/slurmctld", "slurmd": "/usr/sbin/slurmd"}


def impossible():
    """Why there can be none here, or nothing."""
    if os.geteuid() != 0:
        return "only root may start jobs"
    missing = [name for name, path in PROGRAMS.items() if not os.path.exists(path)]
    return f"{', '.join(missing)} not installed" if missing else ""


class Slurm:
    def __init__(self):
        self.home = tempfile.mkdtemp(prefix="vtsl-", dir="/tmp")
        self.env = {**os.environ, "SLURM_CONF": f"{self.home}/slurm.conf"}
        self.daemons = []
        os.mkdir(f"{self.home}/state")
        os.mkdir(f"{self.home}/spool")
        with open(f"{self.home}/key", "wb") as key:
            os.fchmod(key.fileno(), 0o600)
            key.write(os.urandom(128))
        with open(f"{self.home}/slurm.conf", "w", encoding="utf-8") as file:
            file.write(CONFIG.format(home=self.home, host=socket.gethostname().partition(".")[0], control=free_port(),
                                     node=free_port(), user=getpass.getuser()))
        os.chmod(self.home, 0o755)

    def run(self, *command):
        with open(f"{self.home}/{os.path.basename(command[0])}.out", "wb") as out:
            self.daemons.append(subprocess.Popen(command, env=self.env, stdin=subprocess.DEVNULL, stdout=out, stderr=out,
                                                 start_new_session=True, preexec_fn=die_with_us))

    def tool(self, *command):
        done = subprocess.run(command, env=self.env, capture_output=True, text=True, timeout=120, check=False)
        return done.stdout if done.returncode == 0 else f"failed: {done.stderr}"

    def __enter__(self):
        self.run(PROGRAMS["munged"], "--foreground", "--force", f"--key-file={self.home}/key", f"--socket={self.home}/munge.sock",
                 f"--pid-file={self.home}/munge.pid", f"--seed-file={self.home}/seed", f"--log-file={self.home}/munge.log")
        until(lambda: os.path.exists(f"{self.home}/munge.sock"), 10, "munged listens")
        self.run(PROGRAMS["slurmctld"], "-D", "-i")
        self.run(PROGRAMS["slurmd"], "-D")
        until(lambda: self.tool("sinfo", "-h", "-o", "%t").strip() == "idle", 30, "the node is idle")
        return self

    def __exit__(self, *_):
        for daemon in reversed(self.daemons):
            daemon.kill()
            daemon.wait()
        shutil.rmtree(self.home, ignore_errors=True)
