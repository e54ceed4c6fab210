/* The pyramid index with as many pictures as asked for: the record of a real pyramid under so many names, then look-ups of
 * random ones by one process that has opened the file anew. See tests/bench/index. */
#include "base/clock.h"
#include "cache/picture_record.h"
#include "shm/sightings.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#define LOOK_UPS 1000000u
#define COLD     20000u /* look-ups with nothing of the file in memory */

static struct shm_index_shared *shared;
static const struct image_source_limits limits = {.max_source_pixels = UINT64_C(40000000000),
                                                  .max_decode_bytes = 512u << 20};

static void fail(const char *what, const struct err *err)
{
    fprintf(stderr, "%s: %s\n", what, err->message);
    exit(1);
}

static double seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static double cpu_seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static struct shm_index *open_index(const char *directory)
{
    const struct shm_index_options options = {.directory = directory,
                                              .dialect = picture_record_dialect(&limits),
                                              .least_bytes = (size_t)1 << 30,
                                              .most_bytes = (size_t)64 << 30,
                                              .shared = shared};
    struct shm_index *index = NULL;
    struct err err;
    if (shm_index_open(&options, &index, &err) != RC_OK)
        fail(directory, &err);
    return index;
}

static struct shm_index_key name(uint32_t number)
{
    char path[64];
    snprintf(path, sizeof path, "collection/%03u/%03u/image-%u.tif", number / 1000000, number / 1000 % 1000,
             number);
    return shm_index_key(7, path, 1);
}

static struct image_source *open_source(const char *path)
{
    struct image_blob *blob = NULL;
    struct image_source *source = NULL;
    struct err err;
    if (image_blob_from_file(open(path, O_RDONLY), &blob, &err) != RC_OK ||
        image_source_open(blob, 1, &limits, &source, &err) != RC_OK)
        fail(path, &err);
    return source;
}

static void fill(const char *directory, const struct image_source *source, uint32_t count)
{
    struct shm_index *index = open_index(directory);
    double begun = seconds();
    for (uint32_t i = 0; i < count; i++) {
        struct shm_index_key key = name(i);
        picture_record_keep(index, &key, 1000 + i, 1700000000, source);
        if (i % 16384 == 0) /* the queue holds some more */
            shm_index_settle(index);
    }
    shm_index_close(&index);
    printf("%u records of %u levels written in %.0f s, %llu dropped\n", count, source->pyramid.level_count,
           seconds() - begun, (unsigned long long)shared->dropped);
}

/* Pages that had to be read. */
static long disk_faults(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return usage.ru_majflt;
}

/* So that nothing of the file is in memory. */
static void drop(const char *path)
{
    int fd = open(path, O_RDWR | O_CLOEXEC);
    if (fd < 0 || fsync(fd) != 0 || posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED) != 0)
        perror(path);
    if (fd >= 0)
        close(fd);
}

static int compare(const void *a, const void *b)
{
    float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

/* Everything that info.json takes: name, sighting's look-up left out, record, pyramid. */
static void look_up(const char *directory, uint32_t count, uint32_t look_ups, const char *what)
{
    static float wall_us[LOOK_UPS];
    struct shm_index *index = open_index(directory);
    struct image_pyramid pyramid;
    uint32_t random = 12345, found = 0;
    long faults = disk_faults();
    double cpu = cpu_seconds();
    for (uint32_t i = 0; i < look_ups; i++) {
        random = random * 1664525 + 1013904223;
        uint32_t number = (uint32_t)((uint64_t)random * count >> 32);
        double begun = seconds();
        struct shm_index_key key = name(number);
        struct picture_record record = {0};
        if (picture_record_find(index, &key, 1000 + number, false, &record))
            found += image_record_pyramid(&record.record, &pyramid, NULL) == RC_OK;
        picture_record_done(&record);
        wall_us[i] = (float)((seconds() - begun) * 1e6);
    }
    cpu = cpu_seconds() - cpu;
    qsort(wall_us, look_ups, sizeof wall_us[0], compare);
    printf("%s: %u of %u found, %.2f us of CPU each; wall p50 %.2f us, p99 %.2f us; %.2f reads of the disk "
           "each\n",
           what, found, look_ups, cpu * 1e6 / look_ups, (double)wall_us[look_ups / 2],
           (double)wall_us[look_ups / 100 * 99], (double)(disk_faults() - faults) / look_ups);
    shm_index_close(&index);
}

int main(int argc, char **argv)
{
    if (argc != 4) {
        fprintf(stderr, "usage: index DIRECTORY COUNT PYRAMID.tif\n");
        return 2;
    }
    uint32_t count = (uint32_t)strtoul(argv[2], NULL, 10);
    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    struct image_source *source = open_source(argv[3]);
    fill(argv[1], source, count);
    image_source_close(&source);
    char path[4096];
    struct stat st;
    snprintf(path, sizeof path, "%s/pyramids-1.mdb", argv[1]);
    if (stat(path, &st) == 0)
        printf("%.0f MB, %.1f bytes a record\n", (double)st.st_size / 1e6, (double)st.st_size / count);
    look_up(argv[1], count, LOOK_UPS, "first million look-ups");
    look_up(argv[1], count, LOOK_UPS, "second");
    drop(path);
    look_up(argv[1], count, COLD, "cold, after a start");
    return shared->dropped == 0 ? 0 : 1;
}
