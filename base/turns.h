/* Turns: how the threads of a process share the processors.
 *
 * The kernel lets whoever is woken break in on whoever runs only if the turn that it asks for is the shorter
 * one, and it has not had more than its share of late. Else it waits until the other sleeps, or for the next
 * tick of the clock (4 ms). A thread that answers many clients in moments must not wait for another's work in
 * that way, nor be broken in on by the very thread that it hands work to. So it asks for short turns, and all
 * that takes longer gives way to it: with longer turns, a smaller share where there is not enough for all,
 * and without ever breaking in. Kernels before 6.12 know shares only.
 *
 * That alone does not do: shares are kept to the microsecond. Threads that give way to each other, too, run
 * up debts to each other, and when the one leaves the event thread bears a part of them. Woken at such a
 * moment it may not break in, a little later it might, but nobody looks then: the kernel looks when something
 * else is woken, or at the next tick. So whoever gives way also offers its turn after each piece of work.
 *
 * Each call is for the calling thread, and the threads it makes from then on. Needs no privilege, and so
 * there is no way back: what a thread has given away its children do not have either. */
#ifndef BASE_TURNS_H
#define BASE_TURNS_H

enum turns_way {
    TURNS_WORK = 10,       /* somebody waits for what it does */
    TURNS_LARGE_WORK = 15, /* it takes long anyway, or nobody waits */
};

/* Still longer than what is done at a time, or its end waits for the others. */
void turns_ask_short(void);

/* Values are steps of niceness below the process's main thread. Does nothing for a thread that has given more
 * already. */
void turns_give_way(enum turns_way way);

/* Lets go first whoever waits, if its turn has come; returns at once where nobody does. For threads that give
 * way, a few times per millisecond, while they hold no lock: they may have to wait for milliseconds. */
void turns_offer(void);

#endif
