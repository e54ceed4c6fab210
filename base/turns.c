#include "base/turns.h"

#include <linux/sched.h>
#include <linux/sched/types.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#define TURN_NS  100000 /* the shortest that the kernel gives */
#define WAY_NICE 10

void turns_ask_short(void)
{
    struct sched_attr attributes = {.size = sizeof attributes,
                                    .sched_policy = SCHED_NORMAL,
                                    .sched_nice = getpriority(PRIO_PROCESS, 0),
                                    .sched_runtime = TURN_NS};
    (void)!syscall(SYS_sched_setattr, 0, &attributes, 0);
}

void turns_give_way(void)
{
    (void)setpriority(PRIO_PROCESS, 0, getpriority(PRIO_PROCESS, 0) + WAY_NICE); /* Linux: of this thread */
}
