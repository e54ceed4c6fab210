#include "worker/box.h"

#include "base/own.h"
#include "base/probe.h"
#include "base/sanitizer.h"
#include "worker/box_calls.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/landlock.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#define FOLDER_PATIENCE_MS 1000 /* beside what the start has waited for it already */

/* ---- root's rights ---- */

/* The first of the names that exists; NULL when there is none. */
static const struct passwd *find_user(const char *names)
{
    for (const char *name = names; *name != '\0';) {
        char one[64];
        size_t length = strcspn(name, ",");
        snprintf(one, sizeof one, "%.*s", (int)length, name);
        const struct passwd *user = one[0] != '\0' ? getpwnam(one) : NULL;
        if (user != NULL)
            return user;
        name += length + (name[length] == ',');
    }
    return NULL;
}

/* Nobody has to be become: we are not root, or shall stay who we are. */
static bool stays(const char *names)
{
    return geteuid() != 0 || names[0] == '\0';
}

void worker_box_user(const struct settings *settings, uid_t *ret_user, gid_t *ret_group)
{
    const struct passwd *user = BASE_UNDER_SANITIZER || stays(settings->user) ? NULL
                                                                              : find_user(settings->user);
    *ret_user = user != NULL ? user->pw_uid : (uid_t)-1;
    *ret_group = user != NULL ? user->pw_gid : (gid_t)-1;
}

static enum rc become_user(const char *names, struct err *err)
{
    if (stays(names))
        return RC_OK;
    const struct passwd *user = find_user(names);
    if (user == NULL)
        return err_set(err, RC_IO, "user is \"%s\", but there is no such user", names);
    if (setgroups(0, NULL) < 0 || setresgid(user->pw_gid, user->pw_gid, user->pw_gid) < 0 ||
        setresuid(user->pw_uid, user->pw_uid, user->pw_uid) < 0)
        return err_set_errno(err, RC_IO, errno, "the worker cannot become user %s", user->pw_name);
    /* Forgotten with the user: a worker dies with its master. */
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    return RC_OK;
}

/* One that stands still now, or is stale, has answered before: it is taken as it is. */
static enum rc check_images(const struct settings *settings, const struct worker_box_openings *openings,
                            struct err *err)
{
    const char *rest = settings->images;
    struct probe probe[ROOTS_MOST];
    struct roots_root root;
    enum rc rc = RC_OK;
    for (size_t i = 0; i < openings->root_count; i++)
        probe[i] = (struct probe){.folder_fd = openings->root_fd[i],
                                  .path = openings->root_fd[i] >= 0 ? "." : NULL};
    probe_folders(probe, openings->root_count, FOLDER_PATIENCE_MS);
    for (size_t i = 0; rc == RC_OK && i < openings->root_count && roots_next(&rest, &root); i++) {
        if (probe[i].os_errno != EACCES && probe[i].os_errno != EPERM)
            continue;
        const struct passwd *user = getpwuid(geteuid());
        rc = err_set_errno(err, RC_IO, probe[i].os_errno,
                           "user %s, as whom workers run, cannot read the image directory %s",
                           user != NULL ? user->pw_name : "of another name", root.place);
    }
    probe_done(probe, openings->root_count);
    return rc;
}

/* ---- files ---- */

/* As the kernel reads it; the headers that we build with know the first field only. */
struct ruleset {
    uint64_t access_fs, access_net, scoped;
};
#define ACCESS_FS_TRUNCATE  (UINT64_C(1) << 14)
#define ACCESS_FS_IOCTL_DEV (UINT64_C(1) << 15)
#define ACCESS_NET_TCP      UINT64_C(3) /* bind and connect */
#define SCOPE_ALL           UINT64_C(3) /* abstract sockets and signals stay within the worker */

/* By version of Landlock; each handles what those before it do. */
static struct ruleset make_ruleset(long version)
{
    struct ruleset ruleset = {.access_fs = (LANDLOCK_ACCESS_FS_MAKE_SYM << 1) - 1};
    if (version >= 2)
        ruleset.access_fs |= LANDLOCK_ACCESS_FS_REFER;
    if (version >= 3)
        ruleset.access_fs |= ACCESS_FS_TRUNCATE;
    if (version >= 4)
        ruleset.access_net = ACCESS_NET_TCP;
    if (version >= 5)
        ruleset.access_fs |= ACCESS_FS_IOCTL_DEV;
    if (version >= 6)
        ruleset.scoped = SCOPE_ALL;
    return ruleset;
}

/* What is open to the process, and whether to write there. */
struct opening {
    int fd; /* -1: nothing */
    bool is_folder, is_writable;
};

static bool allow(int ruleset_fd, const struct ruleset *ruleset, const struct opening *opening)
{
    const uint64_t reading = LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR;
    const uint64_t writing = LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_REMOVE_DIR |
                             LANDLOCK_ACCESS_FS_REMOVE_FILE | LANDLOCK_ACCESS_FS_MAKE_DIR |
                             LANDLOCK_ACCESS_FS_MAKE_REG |
                             (ruleset->access_fs & (LANDLOCK_ACCESS_FS_REFER | ACCESS_FS_TRUNCATE));
    const struct landlock_path_beneath_attr rule = {
        .allowed_access = !opening->is_folder ? LANDLOCK_ACCESS_FS_READ_FILE
                                              : reading | (opening->is_writable ? writing : 0),
        .parent_fd = opening->fd,
    };
    return opening->fd < 0 ||
           syscall(SYS_landlock_add_rule, ruleset_fd, LANDLOCK_RULE_PATH_BENEATH, &rule, 0) == 0;
}

/* The kernel's struct landlock_net_port_attr, which our headers are too old for. */
struct port_rule {
    uint64_t allowed_access, port;
};
#define RULE_NET_PORT  2
#define ACCESS_CONNECT UINT64_C(2)

static bool allow_port(int ruleset_fd, uint16_t port)
{
    const struct port_rule rule = {.allowed_access = ACCESS_CONNECT, .port = port};
    return port == 0 || syscall(SYS_landlock_add_rule, ruleset_fd, RULE_NET_PORT, &rule, 0) == 0;
}

/* What resolving names and checking certificates reads; what is not there is not missed. */
static void allow_network_files(int ruleset_fd, const struct ruleset *ruleset)
{
    static const char *const path[] = {"/etc", "/run/systemd/resolve", "/usr/share/ca-certificates",
                                       "/usr/local/share/ca-certificates"};
    for (size_t i = 0; i < sizeof path / sizeof path[0]; i++) {
        OWN_FD int fd = open(path[i], O_PATH | O_DIRECTORY | O_CLOEXEC);
        (void)allow(ruleset_fd, ruleset, &(struct opening){.fd = fd, .is_folder = true});
    }
}

/* Everything that a box leaves open. */
struct remains {
    struct opening opening[ROOTS_MOST + 3];
    size_t opening_count;
    bool network;
    const uint16_t *port;
    size_t port_count;
};

static bool allow_all(int ruleset_fd, const struct ruleset *ruleset, const struct remains *remains)
{
    bool allowed = true;
    for (size_t i = 0; i < remains->opening_count; i++)
        allowed = allowed && allow(ruleset_fd, ruleset, &remains->opening[i]);
    if (!remains->network)
        return allowed;
    allow_network_files(ruleset_fd, ruleset);
    for (size_t i = 0; ruleset->access_net != 0 && i < remains->port_count; i++)
        allowed = allowed && allow_port(ruleset_fd, remains->port[i]);
    return allowed;
}

static enum rc limit_files(const struct remains *remains, const char **ret_note, struct err *err)
{
    long version = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
    if (version < 1) { /* also EPERM, where a container's own filter is older than the call */
        *ret_note = "this kernel has no Landlock: workers may read whatever their user may read";
        return RC_OK;
    }
    struct ruleset ruleset = make_ruleset(version);
    size_t size = version >= 6 ? sizeof ruleset : version >= 4 ? 16 : 8;
    OWN_FD int fd = (int)syscall(SYS_landlock_create_ruleset, &ruleset, size, 0);
    if (fd < 0 || !allow_all(fd, &ruleset, remains) || syscall(SYS_landlock_restrict_self, fd, 0) < 0)
        return err_set_errno(err, RC_UNSUPPORTED, errno,
                             "this system does not limit a worker's files (sandbox = false goes without)");
    return RC_OK;
}

/* ---- limits ---- */

static enum rc limit_resources(const struct settings *settings, struct err *err)
{
    const struct rlimit none = {0, 0};
    const struct rlimit data = {(rlim_t)settings->worker_max_memory, (rlim_t)settings->worker_max_memory};
    if (setrlimit(RLIMIT_CORE, &none) < 0 ||
        (settings->worker_max_memory > 0 && setrlimit(RLIMIT_DATA, &data) < 0 && errno != EPERM))
        return err_set_errno(err, RC_IO, errno, "a worker's memory cannot be limited");
    return RC_OK;
}

/* What all boxes are made of once the process is who it will be. */
static enum rc close_box(const struct settings *settings, const struct remains *remains,
                         const char **ret_note, struct err *err)
{
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        return err_set_errno(err, RC_UNSUPPORTED, errno, "the worker cannot give up new rights");
    enum rc rc = limit_files(remains, ret_note, err);
    if (rc == RC_OK)
        rc = limit_resources(settings, err);
    if (rc == RC_OK)
        rc = worker_box_calls_limit(remains->network, err);
    return rc;
}

enum rc worker_box_enter(const struct settings *settings, const struct worker_box_openings *openings,
                         const char **ret_note, struct err *err)
{
    struct remains remains = {
        .opening = {{.fd = openings->cache_fd, .is_folder = true, .is_writable = true},
                    {.fd = openings->derivatives_fd, .is_folder = true, .is_writable = true},
                    {.fd = openings->tier_fd, .is_folder = true, .is_writable = true}},
        .opening_count = 3,
        .network = openings->network,
        .port = openings->port,
        .port_count = openings->port_count};
    *ret_note = NULL;
    if (BASE_UNDER_SANITIZER)
        return RC_OK;
    for (size_t i = 0; i < openings->root_count; i++)
        remains.opening[remains.opening_count++] = (struct opening){.fd = openings->root_fd[i],
                                                                    .is_folder = true};
    enum rc rc = become_user(settings->user, err);
    if (rc == RC_OK)
        rc = check_images(settings, openings, err);
    return rc != RC_OK || !settings->sandbox ? rc : close_box(settings, &remains, ret_note, err);
}

/* All of root's rights but those to the files that root was told to read and write. */
static enum rc keep_file_rights(struct err *err)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct rights[_LINUX_CAPABILITY_U32S_3];
    if (syscall(SYS_capget, &header, rights) < 0)
        return err_set_errno(err, RC_UNSUPPORTED, errno, "the converter's rights cannot be read");
    uint32_t kept = 1u << CAP_DAC_OVERRIDE | 1u << CAP_DAC_READ_SEARCH;
    rights[0].permitted &= kept;
    rights[0].effective &= kept;
    rights[0].inheritable = 0;
    rights[1] = (struct __user_cap_data_struct){0};
    if (syscall(SYS_capset, &header, rights) < 0)
        return err_set_errno(err, RC_UNSUPPORTED, errno, "the converter cannot give up its rights");
    return RC_OK;
}

enum rc worker_box_enter_converter(const struct settings *settings, int source_fd, int folder_fd,
                                   const char **ret_note, struct err *err)
{
    const struct remains remains = {
        .opening = {{.fd = source_fd}, {.fd = folder_fd, .is_folder = true, .is_writable = true}},
        .opening_count = 2};
    *ret_note = NULL;
    if (BASE_UNDER_SANITIZER || !settings->sandbox)
        return RC_OK;
    enum rc rc = keep_file_rights(err);
    return rc == RC_OK ? close_box(settings, &remains, ret_note, err) : rc;
}
