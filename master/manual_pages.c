/* The manual pages, in roff. */
#include "master/manual.h"

#include "master/ingest_options.h"
#include "master/manifest.h"

#include <stdio.h>
#include <string.h>

/* Text of a roff line: hyphens that are to be copied as such, no control lines by accident. */
static void roff(const char *text)
{
    if (*text == '.' || *text == '\'')
        printf("\\&");
    for (; *text != '\0'; text++)
        if (*text == '-')
            printf("\\-");
        else if (*text == '\\')
            printf("\\e");
        else
            putchar(*text);
}

static void roff_example(const char *const *line)
{
    printf(".PP\n.RS 4\n.nf\n");
    for (; *line != NULL; line++) {
        roff(*line);
        printf("\n");
    }
    printf(".fi\n.RE\n");
}

static void roff_head(const char *title, const char *section, const char *name, const char *what)
{
    printf(".TH %s %s \"\" \"vitrine %s\"\n.SH NAME\n", title, section, VITRINE_VERSION);
    roff(name);
    printf(" \\- %s\n", what);
}

/* ---- settings ---- */

static bool is_of(const struct settings_row *row, const char *command)
{
    return strcmp(settings_command(row), command) == 0;
}

static void roff_row(const struct settings_row *row)
{
    printf(".TP\n.B ");
    roff(row->name);
    if (row->flag != NULL) {
        printf(" \\fR(also \\fP");
        roff(row->flag);
        printf("\\fR)\\fP");
    }
    printf("\n");
    roff(row->help);
    printf(".\n");
    master_manual_print_range(row);
    printf("; default: ");
    roff(master_manual_default(row));
    printf(".\n");
}

static void roff_rows(const char *command)
{
    for (size_t i = 0; i < settings_table_length; i++)
        if (is_of(&settings_table[i], command))
            roff_row(&settings_table[i]);
}

/* Those of the command alone. */
static void roff_own_flags(const struct master_flag *flag, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        printf(".TP\n.B ");
        roff(flag[i].flag);
        if (flag[i].value != NULL)
            printf(" \\fI%s\\fP", flag[i].value);
        printf("\n");
        roff(flag[i].help);
        printf(".\n");
    }
}

static void roff_flags(const char *command)
{
    printf(".TP\n.B \\-c \\fIFILE\\fP\nreads settings from the file; what the command line says goes before "
           "what it "
           "says.\n.TP\n.B \\-\\-set \\fIKEY\\fP=\\fIVALUE\\fP\nsets any of the settings of\n.BR "
           "vitrine.conf (5).\n");
    for (size_t i = 0; i < settings_table_length; i++) {
        const struct settings_row *row = &settings_table[i];
        if (row->flag == NULL || !is_of(row, command))
            continue;
        printf(".TP\n.B ");
        roff(row->flag);
        printf(" \\fIVALUE\\fP\n");
        roff(row->help);
        printf("\n(");
        master_manual_print_range(row);
        printf("; default: ");
        roff(master_manual_default(row));
        printf(").\n");
    }
}

/* ---- vitrine(1) ---- */

static void roff_commands(void)
{
    printf(".SH SYNOPSIS\n");
    for (size_t i = 0; i < master_manual_command_count; i++) {
        printf("%s.B vitrine\n", i > 0 ? ".br\n" : "");
        roff(master_manual_commands[i].usage);
        printf("\n");
    }
    printf(".SH DESCRIPTION\n"
           "Vitrine answers the IIIF Image API, versions 3.0 and 2.1.1, from folders of pictures, buckets "
           "and web\n"
           "servers; the IIIF Presentation API with what it finds there; and Deep Zoom and Zoomify.\n"
           "A master process holds the sockets and every connection; worker processes answer, without "
           "rights, and may\n"
           "die without a visitor noticing.\n.PP\n"
           "The identifier of a picture is its path below the image root, each / written %%2F; page 2 of a "
           "file is\n"
           "NAME;2.\n.SH COMMANDS\n");
    for (size_t i = 0; i < master_manual_command_count; i++) {
        printf(".TP\n.B ");
        roff(master_manual_commands[i].usage);
        printf("\n");
        roff(master_manual_commands[i].help);
        printf(".\n");
    }
}

static void roff_cache(void)
{
    printf(
        ".SH THE CACHE\n"
        "purge, prune, warm and status take the settings of the server that they speak to (\\-c FILE, "
        "\\-\\-set), and find its\n"
        "socket by them (admin_socket), else its admin listener, which wants admin_token. purge and prune "
        "print how many\n"
        "files were \\(dqremoved\\(dq at once; where \\(dqcounted\\(dq is false, as always with \\-\\-prefix "
        "and \\-\\-all, "
        "others go in the\n"
        "background, some moments later: what is purged is not served in any case. What warm asks for waits "
        "behind all\n"
        "visitors. Its FILE has lines such as\n/iiif/3/ID/full/400,/0/default.jpg, or with \\-\\-sizes "
        "200,400 an "
        "identifier on each;\n"
        "what begins with # is left out, and each failure is named.\n");
}

static void roff_signals(void)
{
    printf(".SH SIGNALS\n"
           ".TP\n.B TERM, INT\nanswers in flight are finished, for drain_timeout at most, then the server "
           "leaves;\n"
           "a second one acts like QUIT.\n"
           ".TP\n.B QUIT\nthe server leaves at once.\n"
           ".TP\n.B HUP\nthe command line and the configuration file are read again. When anything is wrong, "
           "the log\n"
           "says what and nothing changes; otherwise new workers serve with the new settings, and "
           "connections go on in\n"
           "them. listen, admin, max_connections, cache_files and memory_cache stay as they are until the "
           "next start.\n"
           ".TP\n.B USR2\nthe program file is started again, with the same command line, and takes over "
           "every socket\n"
           "and connection as soon as it is ready; it has another process number then. When it does not come "
           "up, the\n"
           "old one goes on.\n"
           ".TP\n.B RTMIN+1\nfor systemd's RestartKillSignal: the service manager is given sockets and "
           "connections,\n"
           "and the server leaves at once. Without a manager, as TERM.\n"
           ".TP\n.B USR1\nlog files are opened again.\n");
}

static void page_vitrine(void)
{
    static const char *const start[] = {
        "vitrine serve --images /srv/images --cache /var/cache/vitrine --listen 0.0.0.0:8080",
        "vitrine check-config /etc/vitrine.conf && systemctl reload vitrine",
        "vitrine purge -c /etc/vitrine.conf --prefix manuscripts/",
        "vitrine warm -c /etc/vitrine.conf --sizes 200,400 identifiers.txt", NULL};
    roff_head("VITRINE", "1", "vitrine", "serves very large images to the web");
    roff_commands();
    printf(".SH OPTIONS OF SERVE\n");
    roff_flags("serve");
    roff_cache();
    roff_signals();
    printf(".SH EXIT STATUS\n0 ok, 1 failed, 2 bad usage.\n"
           ".SH ENVIRONMENT\n.TP\n.B CACHE_DIRECTORY\nthe cache where neither file nor command line says "
           "one; systemd sets "
           "it.\n.TP\n.B VITRINE_ADMIN_TOKEN\nthe same for admin_token.\n"
           ".TP\n.B AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN, AWS_REGION, AWS_PROFILE,\n"
           ".B AWS_SHARED_CREDENTIALS_FILE, AWS_ENDPOINT_URL_S3\nas Amazon's tools read them, for sources in "
           "buckets.\n"
           ".SH FILES\n.TP\n.I /etc/vitrine.conf\nthe settings, where the package or make install with "
           "prefix=/usr has "
           "put a service.\n.TP\n.I /etc/default/vitrine\nthe environment of Debian's service: what nobody "
           "else shall "
           "read.\n.SH EXAMPLES\n");
    roff_example(start);
    printf(".SH SEE ALSO\n.BR vitrine.conf (5),\n.BR vitrine\\-ingest (1),\n.BR vitrine\\-manifest (1)\n");
}

/* ---- vitrine.conf(5) ---- */

static void roff_roots(void)
{
    static const char *const line[] = {"images = [ \"/srv/images\", \"maps=s3://pictures/maps\" ];", NULL};
    printf(".SH IMAGE ROOTS\n"
           "A place of images is a directory, s3://BUCKET/PREFIX, or http(s)://HOST/PATH. Of several, "
           "written as a list or\n"
           "with the option given again, the first that has a picture wins. NAME=PLACE is looked in for "
           "identifiers\n"
           "that begin with NAME/ alone. A directory whose own name has a = in it is written with a / before "
           "that: ./a=b.\n");
    roff_example(line);
}

static void roff_rules(void)
{
    static const char *const identifiers[] = {"prefix  ms/                manuscripts/$1.tif",
                                              "suffix  .jp2               $1.tif",
                                              "regex   ^obj-(\\d+)-(\\d+)$  objects/$1.tif;$2", NULL};
    static const char *const retired[] = {"old%20name.tif  new.tif", "withdrawn.tif   -", NULL};
    static const char *const ingest[] = {
        "ingest_rules = (", "  { match = \"maps/*\"; quality = 95; tile = 512; },",
        "  { match = \"*.jpg\"; destination = \"{path}.jpg.tif\"; }", ");", NULL};
    printf(".SH RULES OF IDENTIFIERS\nThe file that identifier_rules names leads from identifiers to "
           "sources, a rule a line;\n"
           "the first that matches wins, and what none matches is its own source.\n");
    roff_example(identifiers);
    printf(".SH RETIRED IDENTIFIERS\nThe file that retired names has a line for each: its new name, for "
           "which requests are\n"
           "sent on (301), or a hyphen where it is gone (410).\n");
    roff_example(retired);
    printf(
        ".SH RULES OF INGEST\n.B ingest_rules\nis a list. The values of each rule hold for the sources whose "
        "name below what was\n"
        "named fits its pattern (as of a shell, * fits / too); of several that fit, the later go before the\n"
        "earlier, and the command line goes before all. They are called as the settings without ingest_.\n");
    roff_example(ingest);
}

static void page_configuration(void)
{
    roff_head("VITRINE.CONF", "5", "vitrine.conf", "settings of the image server vitrine");
    printf(".SH DESCRIPTION\n"
           "The file is in the syntax of libconfig: texts in quotes, a semicolon behind each setting, # "
           "before comments.\n"
           "Numbers of bytes may be written with K, M, G or T behind them, then in quotes. What is wrong in "
           "a file is\n"
           "said, with line numbers, by \"vitrine check\\-config FILE\"; \"vitrine "
           "\\-\\-print\\-sample\\-config\" writes one\n"
           "with all settings. A running server reads it again at HUP (systemctl reload).\n.SH SETTINGS\n");
    roff_rows("serve");
    printf(".SH SETTINGS OF INGEST\n");
    roff_rows("ingest");
    roff_roots();
    roff_rules();
    printf(".SH SEE ALSO\n.BR vitrine (1),\n.BR vitrine\\-ingest (1)\n");
}

/* ---- vitrine-ingest(1) ---- */

static void roff_ingest_sections(void)
{
    static const char *const bar[] = {
        "$ vitrine ingest masters --into pyramids",
        "masters/broken.jpg: the JPEG data of the file cannot be decoded: premature end of data segment",
        "[#####################-------------------]  4/8 files  18.1 Mpx/s  2 s left  1 failed", NULL};
    printf(
        ".SH PROGRESS\nOn a terminal a bar shows files, megapixels per second and the time left; lines about "
        "files stand\nabove it:\n");
    roff_example(bar);
    printf(".PP\nElsewhere each file gets a line when it is done.\n"
           ".SH METADATA\nEXIF, XMP, IPTC and the colour profile go along. Not taken along are fields that "
           "speak of how the\nmaster was stored, EXIF's thumbnail, and the orientation: the pyramid is "
           "upright, and says so.\n"
           ".SH BUCKETS\nKeys and endpoint are those of the settings s3_..., of the environment, or of the "
           "machine.\nLarge pyramids go in parts; a run that is killed meanwhile leaves parts that nobody "
           "sees, which a rule of the\nbucket for incomplete uploads removes.\n");
}

static void page_ingest(void)
{
    static const char *const line[] = {
        "vitrine ingest masters --into /srv/images",
        "find /masters -newer last -print0 | vitrine ingest --list - --into /srv/images",
        "vitrine ingest s3://masters/2026 --into s3://pictures --shard auto/16", NULL};
    roff_head("VITRINE-INGEST", "1", "vitrine-ingest", "makes tiled pyramids of master pictures");
    printf(".SH SYNOPSIS\n.B vitrine ingest\n\\fISOURCE\\fP... \\-\\-into \\fIDIR\\fP "
           "[\\fIOPTION\\fP...]\n.SH DESCRIPTION\n"
           "A source is a file, a folder with all below it, or a pattern in quotes. Hidden names, and files "
           "in folders\n"
           "that are no pictures, are passed over. A pyramid has the name that its source has below what was "
           "named.\n"
           "Each says in itself of which version of its master it was made and how; what is so already is "
           "skipped.\n"
           "A file that fails, or kills its converter, costs a line; the others go on, and the exit status "
           "is 1.\n"
           "INT and TERM end the run; the same command goes on from there.\n.SH OPTIONS\n");
    roff_own_flags(master_ingest_flags, master_ingest_flag_count);
    roff_flags("ingest");
    roff_ingest_sections();
    printf(".SH EXIT STATUS\n0 every file has its pyramid, 1 some have not, 2 bad usage.\n.SH EXAMPLES\n");
    roff_example(line);
    printf(".SH SEE ALSO\n.BR vitrine (1),\n.BR vitrine.conf (5)\n");
}

/* ---- vitrine-manifest(1) ---- */

static void page_manifest(void)
{
    static const char *const line[] = {"vitrine manifest --recursive --images /srv/images --base-url "
                                       "https://images.example.org --into /srv/www",
                                       "vitrine manifest codex-12 -c /etc/vitrine.conf --into /srv/www",
                                       NULL};
    roff_head("VITRINE-MANIFEST", "1", "vitrine-manifest", "writes IIIF manifests and collections as files");
    printf(
        ".SH SYNOPSIS\n.B vitrine manifest\n[\\fIPATH\\fP...] \\-\\-into \\fIDIR\\fP "
        "\\-\\-base\\-url \\fIURL\\fP [\\fIOPTION\\fP...]\n.SH DESCRIPTION\n"
        "The documents are those that the server would answer with, byte for byte. A path is that of a "
        "picture or "
        "a folder\nbelow the image root, written with plain slashes; where none is named, the collection of "
        "the "
        "root is written.\nWhat is right already is left alone, so that its date says when it has "
        "changed.\n.PP\n"
        "Files have no extension, as their addresses have none: a server for files has to send them as "
        "application/ld+json,\nwith Access\\-Control\\-Allow\\-Origin: *, and has to decode %%2F in paths.\n"
        ".SH OPTIONS\n");
    roff_own_flags(master_manifest_flags, master_manifest_flag_count);
    printf(".TP\n.B \\-c \\fIFILE\\fP\nreads settings from the file; what the command line says goes before "
           "what "
           "it says.\n.TP\n.B \\-\\-images \\fIPLACE\\fP\nwhere the pictures are.\n"
           ".TP\n.B \\-\\-set \\fIKEY\\fP=\\fIVALUE\\fP\nsets any of the settings of\n.BR vitrine.conf (5):\n"
           "catalogue, catalogue_columns and the limits on sizes count here.\n"
           ".SH EXIT STATUS\n0 all are written, 1 some are not, 2 bad usage.\n.SH EXAMPLES\n");
    roff_example(line);
    printf(".SH SEE ALSO\n.BR vitrine (1),\n.BR vitrine.conf (5)\n");
}

bool master_manual_page(const char *name)
{
    static const struct {
        const char *name;
        void (*print)(void);
    } page[] = {{"vitrine", page_vitrine},
                {"vitrine-ingest", page_ingest},
                {"vitrine-manifest", page_manifest},
                {"vitrine.conf", page_configuration}};
    for (size_t i = 0; i < sizeof page / sizeof page[0]; i++)
        if (strcmp(page[i].name, name) == 0) {
            page[i].print();
            return true;
        }
    return false;
}
