#include "master/manual.h"

#include "base/settings.h"
#include "master/ingest_options.h"
#include "master/manifest.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

const struct master_manual_command master_manual_commands[] = {
    {"serve [-c FILE] [OPTION...]", "serve pictures, in the foreground; the log goes to standard error"},
    {"resolve ID [OPTION...]", "say where an identifier leads, and by which rule"},
    {"ingest SOURCE... --into DIR", "make pyramids of masters; \"vitrine ingest --help\" lists its options"},
    {"manifest [PATH...] --into DIR",
     "write manifests and collections as files; \"vitrine manifest --help\""},
    {"purge ID|--prefix TEXT|--all",
     "make a running server forget what it has cached of these images, at once"},
    {"prune [--unused DAYS]", "remove cached answers that nobody has asked for in so long (30)"},
    {"warm FILE [--sizes W,W...]",
     "have requests (or sizes of identifiers) made before anybody asks; - is standard input"},
    {"status", "say how a running server is"},
    {"check-config FILE", "say what is wrong with a configuration, with line numbers"},
    {"--help", "this text"},
    {"--version", "the version"},
    {"--print-sample-config", "a configuration file with every setting and its default"},
    {"--print-man-page [NAME]",
     "a manual page, in roff: vitrine, vitrine-ingest, vitrine-manifest, vitrine.conf"},
};
const size_t master_manual_command_count = sizeof master_manual_commands / sizeof master_manual_commands[0];

bool master_manual_has_command(const char *name)
{
    for (size_t i = 0, length = strlen(name); i < master_manual_command_count; i++) {
        const char *usage = master_manual_commands[i].usage;
        if (strncmp(usage, name, length) == 0 && (usage[length] == ' ' || usage[length] == '\0'))
            return true;
    }
    return false;
}

const char *master_manual_default(const struct settings_row *row)
{
    return row->preset[0] != '\0' ? row->preset : "empty";
}

void master_manual_print_range(const struct settings_row *row)
{
    if (row->type == SETTINGS_WHOLE) {
        printf("from %" PRId64 " to %" PRId64 "%s%s", row->least, row->most,
               row->unit_or_choices[0] != '\0' ? " " : "", row->unit_or_choices);
    } else if (row->type == SETTINGS_CHOICE) {
        printf("one of ");
        for (const char *c = row->unit_or_choices; *c != '\0'; c++)
            *c == '|' ? (void)printf(", ") : (void)putchar(*c);
    } else {
        printf("%s", row->type == SETTINGS_SWITCH ? "true or false" : row->unit_or_choices);
    }
}

static const char *row_value(const struct settings_row *row)
{
    return row->type == SETTINGS_WHOLE    ? "N"
           : row->type == SETTINGS_SWITCH ? "true|false"
                                          : row->unit_or_choices;
}

/* The options that every command has in its own way: those of settings. */
static void print_setting_flags(const char *of_command)
{
    printf("  %-22s %s\n", "-c FILE", "read settings from FILE; options go before what it says");
    for (size_t i = 0; i < settings_table_length; i++) {
        const struct settings_row *row = &settings_table[i];
        if (row->flag == NULL || strcmp(settings_command(row), of_command) != 0)
            continue;
        char usage[80];
        snprintf(usage, sizeof usage, "%s %s", row->flag, row_value(row));
        /* A long one has its line to itself. */
        printf(strlen(usage) > 22 ? "  %s\n  %22s" : "  %-22s%s", usage, "");
        printf(" %s (default: %s)\n", row->help, master_manual_default(row));
    }
    printf("  %-22s %s\n", "--set KEY=VALUE", "any setting; \"vitrine --print-sample-config\" lists them");
}

static void print_flags(const struct master_flag *flag, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        char usage[64];
        snprintf(usage, sizeof usage, "%s %s", flag[i].flag, flag[i].value != NULL ? flag[i].value : "");
        printf("  %-22s %s\n", usage, flag[i].help);
    }
}

void master_manual_ingest(void)
{
    printf(
        "vitrine ingest SOURCE... --into DIR [OPTION...]\n\n"
        "Makes tiled pyramids of masters. SOURCE is a file, a folder with all below it, or a pattern in "
        "quotes.\n"
        "What is done and unchanged is skipped, so the same command goes on where it was interrupted.\n\n");
    print_flags(master_ingest_flags, master_ingest_flag_count);
    printf("\nHow, also by rules of the configuration file (ingest_rules):\n\n");
    print_setting_flags("ingest");
    printf("\nExit status: 0 every file has its pyramid, 1 some have not, 2 bad usage.\n");
}

void master_manual_manifest(void)
{
    printf("vitrine manifest [PATH...] --into DIR --base-url URL [OPTION...]\n\n"
           "Writes the manifests and collections that the server would answer with, as files. PATH is a "
           "picture or "
           "a folder\nbelow the image root, as in identifiers but with plain /; none: the collection of the "
           "root.\n\n");
    print_flags(master_manifest_flags, master_manifest_flag_count);
    printf("\nAnd those of serve, of which images, catalogue and the limits on sizes count:\n\n"
           "  %-22s read settings from FILE; options go before what it says\n"
           "  %-22s where the pictures are\n"
           "  %-22s any setting\n"
           "\nExit status: 0 all are written, 1 some are not, 2 bad usage.\n",
           "-c FILE", "--images PLACE", "--set KEY=VALUE");
}

void master_manual_help(void)
{
    printf("Vitrine serves very large images to the web (IIIF Image API 3.0 and 2.1.1).\n\n");
    for (size_t i = 0; i < master_manual_command_count; i++)
        printf("  vitrine %-30s %s\n", master_manual_commands[i].usage, master_manual_commands[i].help);
    printf("\nOptions of serve:\n\n");
    print_setting_flags("serve");
    printf("\nExit status: 0 ok, 1 failed, 2 bad usage. Signals: TERM drains and leaves, QUIT leaves at "
           "once,\nHUP reads the configuration again, USR2 starts the program again in place of this one.\n");
}

/* Numbers with a suffix and texts are quoted, as libconfig wants them. */
static bool row_needs_quotes(const struct settings_row *row)
{
    if (row->type == SETTINGS_WHOLE)
        return strpbrk(row->preset, "KMGT") != NULL;
    return row->type != SETTINGS_SWITCH;
}

void master_manual_sample_config(void)
{
    printf(
        "# Settings of vitrine %s, each with its default.\n"
        "# Remove the # in front of a line to change it; check the result with: vitrine check-config FILE\n",
        VITRINE_VERSION);
    for (size_t i = 0; i < settings_table_length; i++) {
        const struct settings_row *row = &settings_table[i];
        const char *quote = row_needs_quotes(row) ? "\"" : "";
        printf("\n# %s (", row->help);
        master_manual_print_range(row);
        printf(")\n#%s = %s%s%s;\n", row->name, quote, row->preset, quote);
    }
    printf("\n# rules of ingest: for sources whose name fits match these values hold; later rules go before\n"
           "#   ingest_rules = ( { match = \"*.png\"; compression = \"deflate\"; tile = 512; } );\n");
}
