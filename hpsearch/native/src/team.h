/* Threads that share the products of a step. Each product has as many parts as threads, of whole
   units, whose sums keep their order: the bits are the same for any number of threads. */
#pragma once

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>

#include "network.h"
#include "rows.h"

/* Do a part of some work: the units from `first` to `end`. */
typedef void (*Part)(const void *work, long first, long end);

typedef struct Team Team;

typedef struct {
    Team *team;
    int number;
    pthread_t thread;
} Helper;

typedef struct { _Alignas(64) atomic_uint turn; } Claim;

struct Team {
    int size;                          /* threads, with the one that hands out work */
    Part part;
    const void *work;
    long units, step;                  /* parts begin at multiples of `step` units */
    _Alignas(64) atomic_ullong ticket; /* the work's turn, counted from 1, and its parts */
    _Alignas(64) atomic_int undone;    /* parts that have not ended */
    atomic_int over;
    Claim claim[MAX_THREADS];          /* the last turn in which a part was begun */
    Helper helper[MAX_THREADS];
};

#define TICKET(turn, parts) ((unsigned long long)(turn) << 32 | (unsigned)(parts))

/* Steps follow each other closely, but a thread may have no core. */
INLINE void wait_a_moment(int *waits) {
    if (*waits < 4096) {
        ++*waits;
        CPU_RELAX();
    } else {
        sched_yield();
    }
}

/* Return 1 to one thread for each part of a turn. All parts of former turns have been begun. */
INLINE int claims(Team *team, int part, unsigned turn) {
    unsigned last = atomic_load_explicit(&team->claim[part].turn, memory_order_relaxed);
    return (int)(last - turn) < 0 &&
           atomic_compare_exchange_strong_explicit(&team->claim[part].turn, &last, turn,
                                                   memory_order_relaxed, memory_order_relaxed);
}

INLINE void do_part(Team *team, int part, int parts) {
    const long units = team->units, step = team->step;
    const long first = units * part / parts / step * step;
    const long end = part + 1 == parts ? units : units * (part + 1) / parts / step * step;
    if (first < end) team->part(team->work, first, end);
    atomic_fetch_sub_explicit(&team->undone, 1, memory_order_release);
}

/* Do a thread's own part, whose weights its core has at hand, and those that no other has begun. */
INLINE void do_parts(Team *team, int number, unsigned long long ticket) {
    const unsigned turn = (unsigned)(ticket >> 32);
    const int parts = (int)(unsigned)ticket;
    for (int n = 0; n < parts; n++) {
        const int part = number < parts ? (number + n) % parts : n;
        if (claims(team, part, turn)) do_part(team, part, parts);
    }
}

static void *help(void *given) {
    const Helper *helper = given;
    Team *team = helper->team;
    flush_denormals();
    unsigned long long last = TICKET(0, 0);
    for (int waits = 0; !atomic_load_explicit(&team->over, memory_order_relaxed);) {
        const unsigned long long ticket = atomic_load_explicit(&team->ticket, memory_order_acquire);
        if (ticket == last) {
            wait_a_moment(&waits);
        } else {
            do_parts(team, helper->number, ticket);
            last = ticket, waits = 0;
        }
    }
    return NULL;
}

/* Return the number of threads, at most so many, for which there are so many multiplications. */
static int useful_threads(int threads, double multiplications, double for_one) {
    const double most = multiplications / for_one;
    return most < 1 ? 1 : most < threads ? (int)most : threads;
}

/* Do the work, with as many threads as its multiplications keep busy. */
static void share(Team *team, Part part, const void *work, long units, long step,
                  double multiplications) {
    int parts = useful_threads(team->size, multiplications, THREAD_MULTIPLICATIONS);
    if (parts > units) parts = (int)units;
    if (parts == 1) {
        part(work, 0, units);
        return;
    }
    team->part = part, team->work = work;
    team->units = units, team->step = units < parts * step ? 1 : step;
    const unsigned turn = (unsigned)(atomic_load_explicit(&team->ticket, memory_order_relaxed) >> 32);
    const unsigned long long ticket = TICKET(turn + 1, parts);
    atomic_store_explicit(&team->undone, parts, memory_order_relaxed);
    atomic_store_explicit(&team->ticket, ticket, memory_order_release);
    do_parts(team, 0, ticket);
    for (int waits = 0; atomic_load_explicit(&team->undone, memory_order_acquire);) {
        wait_a_moment(&waits);
    }
}

/* Start the helpers that an epoch of so many rows keeps busy, or fewer if the system refuses. */
static void begin_team(Team *team, const Network *net, long batch, long rows) {
    int threads = 1;
    double weights = 0;
    for (int l = 0; l < net->layers; l++) {
        const double size = (double)net->layer[l].out * net->layer[l].in;
        const int useful = useful_threads(net->threads, size * batch, THREAD_MULTIPLICATIONS);
        if (useful > threads) threads = useful;
        weights += size;
    }
    threads = useful_threads(threads, weights * rows, START_MULTIPLICATIONS);
    atomic_init(&team->ticket, TICKET(0, 0));
    atomic_init(&team->undone, 0);
    atomic_init(&team->over, 0);
    for (int part = 0; part < threads; part++) atomic_init(&team->claim[part].turn, 0);
    /* Signals are for the threads of the interpreter. */
    sigset_t all, former;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &former);
    for (team->size = 1; team->size < threads; team->size++) {
        Helper *helper = &team->helper[team->size];
        helper->team = team, helper->number = team->size;
        if (pthread_create(&helper->thread, NULL, help, helper)) break;
    }
    pthread_sigmask(SIG_SETMASK, &former, NULL);
}

static void end_team(Team *team) {
    atomic_store_explicit(&team->over, 1, memory_order_relaxed);
    for (int n = 1; n < team->size; n++) pthread_join(team->helper[n].thread, NULL);
}
