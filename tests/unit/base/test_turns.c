/* Whether a turn that is offered is taken. */
#include "base/turns.h"

#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>

#include <cmocka.h>

#define HANDED_OVER 50
#define MOST_OFFERS 2000

struct game {
    atomic_uint handed, offers;
};

struct side {
    struct game *game;
    unsigned parity;
};

/* Waits for its turn in the game without sleeping, and hands it over. */
static void *play(void *argument)
{
    const struct side *side = argument;
    turns_give_way(TURNS_WORK);
    for (unsigned now; (now = atomic_load(&side->game->handed)) < HANDED_OVER;) {
        if (now % 2 == side->parity)
            atomic_store(&side->game->handed, now + 1);
        turns_offer();
        if (atomic_fetch_add(&side->game->offers, 1) > MOST_OFFERS)
            break;
    }
    return NULL;
}

/* Two that share a processor. Who does not offer its turn goes round many thousand times before the kernel takes it. */
static void whoever_waits_goes_when_a_turn_is_offered(void **state)
{
    (void)state;
    cpu_set_t before, one;
    assert_int_equal(sched_getaffinity(0, sizeof before, &before), 0);
    CPU_ZERO(&one);
    CPU_SET((size_t)sched_getcpu(), &one);
    assert_int_equal(sched_setaffinity(0, sizeof one, &one), 0);
    struct game game = {.handed = 0};
    struct side side[2] = {{&game, 0}, {&game, 1}};
    pthread_t thread[2];
    for (int i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&thread[i], NULL, play, &side[i]), 0);
    for (int i = 0; i < 2; i++)
        pthread_join(thread[i], NULL);
    assert_int_equal(sched_setaffinity(0, sizeof before, &before), 0);
    assert_int_equal(atomic_load(&game.handed), HANDED_OVER);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whoever_waits_goes_when_a_turn_is_offered),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
