#include "base/turns.h"

#include <linux/sched.h>
#include <linux/sched/types.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#define SHORT_NS   100000 /* the shortest that the kernel gives */
#define LONG_NS    4000000
#define NICE_LIMIT 19

static void ask(uint32_t policy, int nice, uint64_t turn_ns)
{
    struct sched_attr attributes = {
        .size = sizeof attributes, .sched_policy = policy, .sched_nice = nice, .sched_runtime = turn_ns};
    (void)!syscall(SYS_sched_setattr, 0, &attributes, 0);
}

void turns_ask_short(void)
{
    ask(SCHED_NORMAL, getpriority(PRIO_PROCESS, 0), SHORT_NS);
}

void turns_give_way(enum turns_way way)
{
    int nice = getpriority(PRIO_PROCESS, (id_t)getpid()) + (int)way, now = getpriority(PRIO_PROCESS, 0);
    nice = nice < now ? now : nice;
    ask(SCHED_BATCH, nice < NICE_LIMIT ? nice : NICE_LIMIT, LONG_NS); /* BATCH: does not break in */
}

void turns_offer(void)
{
    (void)!syscall(SYS_sched_yield); /* <sched.h> and the kernel's own header do not go together */
}
