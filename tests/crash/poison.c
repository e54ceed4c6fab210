/* Preloaded into a server under test: decoding a JPEG of a certain width does harm, as a bug in a decoder would. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h> /* which jpeglib.h needs */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <jpeglib.h>

enum { SEGV = 601, ABORT, FPE, BUS, OVERFLOW, HANG, LINGER, STARTS_A_PROGRAM, LEAKS, CONNECTS };

static volatile int one = 1, zero;
static volatile char sink;
static char *volatile leak;

__attribute__((noinline)) static int overflow(int depth)
{
    volatile char frame[4096];
    frame[depth % 4096] = (char)depth;
    return overflow(depth + 1) + frame[0];
}

/* A mapping of a file that is too short; made before the workers' system calls are limited. */
static volatile char *beyond_file;

__attribute__((constructor)) static void prepare(void)
{
    beyond_file = mmap(NULL, 4096, PROT_READ, MAP_SHARED, memfd_create("short", 0), 0);
}

static void harm(unsigned width)
{
    switch (width) {
    case SEGV:
        sink = *(volatile char *)8;
        break;
    case ABORT:
        abort();
    case FPE:
        zero = one / zero;
        break;
    case BUS:
        sink = *beyond_file;
        break;
    case OVERFLOW:
        overflow(0);
        break;
    case HANG:
        for (;;)
            sleep(1000);
    case LINGER: /* long, but not for ever */
        usleep(1500000);
        break;
    case STARTS_A_PROGRAM:
        execl("/bin/true", "true", (char *)NULL);
        break;
    case CONNECTS:
        socket(AF_INET, SOCK_STREAM, 0);
        break;
    case LEAKS:
        leak = malloc(64 << 20);
        memset(leak, 1, 64 << 20);
        break;
    }
}

boolean jpeg_start_decompress(j_decompress_ptr decoder)
{
    static boolean (*real)(j_decompress_ptr);
    if (real == NULL)
        *(void **)&real = dlsym(RTLD_NEXT, "jpeg_start_decompress");
    harm(decoder->image_width);
    return real(decoder);
}
