#include "worker/web/embedded.h"

#include <string.h>

/* .incbin counts paths from where make runs: the root of the tree. */
#define EMBED(symbol, path)                                                       \
    __asm__(".section .rodata\n" #symbol "_data:\n.incbin \"" path "\"\n" #symbol \
            "_end:\n.byte 0\n.previous");                                         \
    extern const uint8_t symbol##_data[], symbol##_end[]

EMBED(web_gallery_html, "worker/web/pages/gallery.html");
EMBED(web_view_html, "worker/web/pages/view.html");
EMBED(web_status_html, "worker/web/pages/status.html");
EMBED(web_problem_html, "worker/web/pages/problem.html");
EMBED(web_base_css, "worker/web/pages/base.css");
EMBED(web_gallery_css, "worker/web/pages/gallery.css");
EMBED(web_view_css, "worker/web/pages/view.css");
EMBED(web_status_css, "worker/web/pages/status.css");
EMBED(web_common_js, "worker/web/pages/common.js");
EMBED(web_gallery_js, "worker/web/pages/gallery.js");
EMBED(web_view_js, "worker/web/pages/view.js");
EMBED(web_stage_js, "worker/web/pages/stage.js");
EMBED(web_strip_js, "worker/web/pages/strip.js");
EMBED(web_about_js, "worker/web/pages/about.js");
EMBED(web_status_js, "worker/web/pages/status.js");
EMBED(web_charts_js, "worker/web/pages/charts.js");
EMBED(web_icon_svg, "worker/web/pages/icon.svg");
EMBED(web_zoom_js, "build/openseadragon/openseadragon.min.js");
EMBED(web_zoom_licence, "build/openseadragon/LICENSE.txt");

static const char css[] = "text/css; charset=utf-8";
static const char js[] = "text/javascript; charset=utf-8";
static const char plain[] = "text/plain; charset=utf-8";

/* clang-format off */
const struct web_file web_files[] = {
    {"gallery.html", NULL, web_gallery_html_data, web_gallery_html_end},
    {"view.html", NULL, web_view_html_data, web_view_html_end},
    {"status.html", NULL, web_status_html_data, web_status_html_end},
    {"problem.html", NULL, web_problem_html_data, web_problem_html_end},
    {"base.css", css, web_base_css_data, web_base_css_end},
    {"gallery.css", css, web_gallery_css_data, web_gallery_css_end},
    {"view.css", css, web_view_css_data, web_view_css_end},
    {"status.css", css, web_status_css_data, web_status_css_end},
    {"common.js", js, web_common_js_data, web_common_js_end},
    {"gallery.js", js, web_gallery_js_data, web_gallery_js_end},
    {"view.js", js, web_view_js_data, web_view_js_end},
    {"stage.js", js, web_stage_js_data, web_stage_js_end},
    {"strip.js", js, web_strip_js_data, web_strip_js_end},
    {"about.js", js, web_about_js_data, web_about_js_end},
    {"status.js", js, web_status_js_data, web_status_js_end},
    {"charts.js", js, web_charts_js_data, web_charts_js_end},
    {"icon.svg", "image/svg+xml", web_icon_svg_data, web_icon_svg_end},
    {"openseadragon.min.js", js, web_zoom_js_data, web_zoom_js_end},
    {"openseadragon-licence.txt", plain, web_zoom_licence_data, web_zoom_licence_end},
};
/* clang-format on */
const size_t web_file_count = sizeof web_files / sizeof web_files[0];

const struct web_file *web_file_find(const char *name, size_t length)
{
    for (size_t i = 0; i < web_file_count; i++)
        if (strlen(web_files[i].name) == length && memcmp(web_files[i].name, name, length) == 0)
            return &web_files[i];
    return NULL;
}
