#include "report/report.hpp"

#include <algorithm>
#include <cmath>
#include <fmt/format.h>
#include <map>

#include "base/json_guard.hpp"
#include "base/palette.hpp"
#include "base/text.hpp"
#include "base/utf8.hpp"
#include "report/report_html.hpp"

namespace moescope::report {
namespace {

using html::escape;
using html::number;
using html::Words;

constexpr std::string_view kStyle = R"css(
:root{color-scheme:light dark;--page:#fbfbfa;--card:#ffffff;--ink:#1b1f24;--quiet:#5d6672;--line:#dfe3e8;--accent:#0a5fb4;--chip:#eef1f4}
@media (prefers-color-scheme:dark){:root{--page:#14171b;--card:#1b1f25;--ink:#e4e7eb;--quiet:#98a2ae;--line:#313841;--accent:#6cb2f5;--chip:#2a3038}}
*{box-sizing:border-box}
body{margin:0;background:var(--page);color:var(--ink);font:15px/1.55 system-ui,-apple-system,"Segoe UI","Noto Sans","Noto Sans CJK SC","PingFang SC",
"Microsoft YaHei","WenQuanYi Micro Hei",sans-serif}
main{max-width:1400px;margin:0 auto;padding:32px 24px 64px}
header{border-bottom:1px solid var(--line);margin-bottom:8px;padding-bottom:16px}
h1{font-size:27px;font-weight:650;margin:0 0 4px;letter-spacing:-.01em}
h2{font-size:21px;font-weight:650;margin:44px 0 6px}
h3{font-size:16px;font-weight:650;margin:28px 0 6px}
h4{font-size:14px;font-weight:600;margin:20px 0 6px}
a{color:var(--accent);text-decoration:none}a:hover{text-decoration:underline}
nav ul{list-style:none;padding:0;margin:12px 0;display:flex;flex-wrap:wrap;gap:4px 20px}
code,pre{font:12px/1.5 ui-monospace,"SF Mono",Menlo,Consolas,"DejaVu Sans Mono",monospace}
pre{overflow:auto;background:var(--chip);padding:12px;border-radius:6px;max-height:420px}
.quiet{color:var(--quiet);font-size:13px}
.source{color:var(--quiet);font-size:11.5px;font-weight:400;overflow-wrap:anywhere}.source code{font-size:11px}
figure{margin:16px 0;background:var(--card);border:1px solid var(--line);border-radius:8px;padding:14px 16px}
figcaption{font-weight:600;margin-bottom:6px}
.charts{display:grid;grid-template-columns:repeat(auto-fit,minmax(560px,1fr));gap:0 18px}
@media (max-width:640px){.charts{grid-template-columns:1fr}}
.chart{width:100%;max-width:820px;height:auto;display:block;margin:0 auto}
svg text{fill:var(--quiet);font-size:12px;font-variant-numeric:tabular-nums}
.grid{stroke:var(--line);stroke-width:1}.axis{stroke:var(--quiet);stroke-width:1}.mark{stroke:var(--quiet);stroke-width:1;stroke-dasharray:3 3}
.curve{fill:none;stroke-width:1.6;stroke-linejoin:round}.dashed{stroke-width:1.2;stroke-dasharray:5 4}
.legend{display:flex;flex-wrap:wrap;gap:2px 18px;font-size:13px;color:var(--quiet);margin-top:4px}
.key i{display:inline-block;width:16px;height:3px;border-radius:2px;vertical-align:middle;margin-right:6px}
.scroll{overflow-x:auto;margin:16px 0;background:var(--card);border:1px solid var(--line);border-radius:8px}
table{border-collapse:collapse;width:100%;font-size:13px}
caption{caption-side:top;text-align:left;font-weight:600;padding:12px 14px 8px}
th{font-weight:600;color:var(--quiet);text-align:left;vertical-align:bottom;font-size:12px}
th,td{padding:5px 8px;border-top:1px solid var(--line)}
td{vertical-align:middle}th.n{white-space:normal}.sub td{border-top:0;padding-top:0}
.n{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}
.axis-head{text-align:center;white-space:nowrap;font-weight:400}
.note{color:var(--quiet);font-size:12px;min-width:140px}
td:first-child{white-space:nowrap}.name{font-weight:550;overflow-wrap:anywhere}td.name{min-width:120px}td.side-name{min-width:92px}
.wide table{font-size:12px}.wide th,.wide td{padding:5px 4px}.wide .interval{width:84px}
.name,.title,.chip,code,caption,a{unicode-bidi:isolate}
.interval{width:120px;height:16px;display:block}.interval .bar{stroke:var(--accent);stroke-width:2}.interval circle{fill:var(--accent)}
.levels{width:120px;height:12px;display:block}
.facts td:first-child{white-space:normal;color:var(--quiet);width:220px}.facts td{overflow-wrap:anywhere}
.side{display:grid;grid-template-columns:repeat(auto-fit,minmax(320px,1fr));gap:14px}
.card{background:var(--card);border:1px solid var(--line);border-radius:8px;padding:12px 16px}
.card h4{margin:0 0 4px}
.text{white-space:pre-wrap;overflow-wrap:anywhere;unicode-bidi:isolate}
blockquote{margin:8px 0 14px;padding:6px 14px;border-left:3px solid var(--accent)}
details{margin:4px 0}summary{cursor:pointer}
.answer{background:var(--card);border:1px solid var(--line);border-radius:6px;padding:6px 12px}
.answer summary .title{font-weight:550;margin-right:10px}
dl{margin:8px 0 4px;display:grid;grid-template-columns:100px 1fr;gap:6px 14px}dt{color:var(--quiet);font-size:13px}dd{margin:0}
.chip{display:inline-block;background:var(--chip);border-radius:10px;padding:0 9px;font-size:12px;margin-right:6px}
.d-refused,.e0{background:#a50f15;color:#fff}.e1{background:#de6b3f;color:#1b1f24}.e2{background:#d9b44a;color:#1b1f24}.e3{background:#7fb3d5;color:#1b1f24}
.e4{background:#1f6fae;color:#fff}
.problems{border:1px solid var(--line);border-left:4px solid #b42318;background:var(--card);padding:10px 14px;margin:12px 0;overflow-wrap:anywhere}
.problems ul{margin:6px 0 0;padding-left:20px}
@page{size:A4 landscape;margin:10mm}
@media print{
:root{--page:#ffffff;--card:#ffffff;--ink:#000000;--quiet:#444444;--line:#bbbbbb;--accent:#0a5fb4;--chip:#eeeeee}
body{background:#fff;font-size:11px}main{max-width:none;padding:0}
h1{font-size:20px}h2{font-size:16px;margin-top:18px;break-after:avoid}h3,h4{break-after:avoid}
.scroll{overflow:visible}table{font-size:8.5px}th{font-size:8px}th,td{padding:2px 3px}caption{padding:4px}
.wide table{font-size:8.5px}.wide th,.wide td{padding:2px 3px}
.note{min-width:0;font-size:8px}td.name,td.side-name{min-width:60px}td:first-child{white-space:normal}
.interval,.wide .interval,.levels{width:60px}.charts{grid-template-columns:1fr 1fr}
pre{max-height:none;white-space:pre-wrap;overflow-wrap:anywhere}
.quiet,.legend{font-size:9.5px}.source,.source code{font-size:8px}code,pre{font-size:8.5px}
tr,figure,.card,.scroll{break-inside:avoid}thead{display:table-header-group}
}
)css";

/// The curves that the window draws too have its colours.
std::string colours() {
    using base::kAccent, base::kChinese, base::kEnglish;
    const std::string light = fmt::format(":root{{--main:#{:06x};--english:#{:06x};--chinese:#{:06x}}}\n",
                                          kAccent.light, kEnglish.light, kChinese.light),
                      dark = fmt::format(":root{{--main:#{:06x};--english:#{:06x};--chinese:#{:06x}}}", kAccent.dark,
                                         kEnglish.dark, kChinese.dark);
    return light + "@media (prefers-color-scheme:dark){" + dark + "}\n@media print{" + light + "}\n";
}

std::string fact(const std::string& name, const std::string& value) {
    return "<tr><td>" + name + "</td><td>" + value + "</td></tr>";
}

std::string scalar_text(const nlohmann::json& value) {
    return value.is_string() ? value.get<std::string>() : base::dump_json(value);
}

/// Rows of a manifest, one level deep: the hash of each model stands in a row of its own. Deeper ones are in the JSON.
std::string manifest_rows(const nlohmann::json& manifest) {
    std::string rows;
    const auto add = [&](const std::string& key, const std::string& text) {
        const bool hash = key.find("sha256") != std::string::npos;
        rows += fact(escape(key), hash ? "<code>" + escape(text) + "</code>" : escape(text));
    };
    for (const auto& [key, value] : manifest.items()) {
        if (value.is_primitive()) {
            add(key, scalar_text(value));
            continue;
        }
        std::string list;
        for (const auto& [inner, part] : value.items()) {
            if (part.is_primitive() && value.is_object()) {
                add(key + " \u00b7 " + inner, scalar_text(part));
            } else if (part.is_primitive()) {
                base::append_to_list(list, scalar_text(part));
            }
        }
        if (!list.empty()) {
            add(key, list);
        }
    }
    return rows;
}

/// The run's state and its manifest: what is short as a table, all of it as JSON.
std::string metadata(const Run& run, const Words& words) {
    std::string rows = fact(words("run"), escape(run.name)) + fact(words("state"), words(run.state));
    if (run.manifest.is_object()) {
        rows += manifest_rows(run.manifest);
    }
    const std::string whole = run.manifest.dump(2, ' ', false, nlohmann::json::error_handler_t::replace);
    return "<div class=\"scroll\"><table class=\"facts\"><caption>" + words("manifest") + words.colon() +
           "<span class=\"name\">" + escape(run.name) + "</span><br>" + html::source_line(run, words) +
           "</caption><tbody>" + rows + "</tbody></table></div><details><summary class=\"quiet\">" +
           words("manifest_full") + "</summary><pre>" + escape(whole) + "</pre></details>";
}

std::string figure(const std::string& title, const std::string& body, const Run& run, const Words& words) {
    return "<figure><figcaption>" + title + "</figcaption>" + body + html::source_line(run, words) + "</figure>";
}

std::string marks(const Training& training, const Words& words) {
    std::string rows;
    for (const Mark& mark : training.charts.empty() ? std::vector<Mark>() : training.charts.front().marks) {
        rows += "<li>" + words.step(number(mark.x, 0)) + words.colon() + escape(mark.text) + "</li>";
    }
    return rows.empty() ? rows : "<h3>" + words("marks") + "</h3><ul>" + rows + "</ul>";
}

std::string training_section(const Training& training, double scale, const Words& words) {
    std::string out = training.outcome.empty() ? std::string() : "<p>" + escape(training.outcome) + "</p>";
    out += metadata(training.run, words) + "<div class=\"charts\">";
    for (const Chart& chart : training.charts) {
        out += figure(words(chart.title), html::chart_svg(chart, words), training.run, words);
    }
    out += "</div>" + marks(training, words);
    for (const Load& load : training.loads) {
        out += figure(words(load.title), html::load_svg(load, scale, words), training.run, words);
    }
    if (!training.samples.empty()) {
        out += "<h3>" + words("samples") + "</h3>";
    }
    for (const Sample& sample : training.samples) {
        out += "<details class=\"answer\"><summary>" + words.step(std::to_string(sample.step)) + " · " +
               words(sample.language) + "</summary><p class=\"text\" dir=\"auto\"><b>" + escape(sample.prompt) +
               "</b>" + escape(base::with_byte_chips(sample.text)) + "</p></details>";
    }
    return out;
}

/// What the rules say of an answer, as window and probes say it.
std::string label_line(const probes::Labels& labels, const Words& words) {
    return "<p class=\"quiet\">" + html::label_chips(labels, words) + words("rule") + words.colon() +
           escape(labels.rule.english()) + "</p>";
}

std::string comparison_section(const Comparison& comparison, const Words& words) {
    std::string out = "<h3>" + words("prompt") + "</h3><blockquote class=\"text\" dir=\"auto\">" +
                      escape(comparison.prompt) + "</blockquote><div class=\"side\">";
    std::string manifests;
    for (const Answer& answer : comparison.answers) {
        out += "<div class=\"card\"><h4>" + escape(answer.model) + "</h4><p class=\"quiet\">" +
               std::to_string(answer.tokens) + " " + words("tokens") + " · " + number(answer.tokens_per_second, 1) +
               " " + words("per_second") + " · " + words("stop") + words.colon() + words(answer.stop) +
               (answer.settings.empty() ? std::string() : " · " + escape(answer.settings)) + "</p>" +
               (answer.labels ? label_line(*answer.labels, words) : std::string()) +
               html::answer_text(answer.text, answer.shown, words) + html::shown_text(answer.shown, words) + "</div>";
        manifests += metadata(answer.run, words);
    }
    return out + "</div><p class=\"quiet\">" + words("rules_note") + "</p>" + manifests;
}

/// Beginning of a prompt, for a heading.
std::string beginning(const std::string& prompt) {
    constexpr std::size_t kMost = 60;
    const std::string line = prompt.substr(0, prompt.find_first_of("\r\n"));
    const bool whole = line.size() > kMost || line.size() == prompt.size();  // else more lines follow
    return base::shortened(line, kMost) + (whole ? "" : "\u2026");
}

/// The session's name; a folder that the program named is called by its time.
std::string title_of(const std::string& name, const Words& words) {
    static const std::string kShape = "dddd-dd-dd-dddddd";
    const bool time = name.size() == kShape.size() &&
                      std::equal(name.begin(), name.end(), kShape.begin(),
                                 [](char c, char shape) { return shape == 'd' ? c >= '0' && c <= '9' : c == shape; });
    if (name.empty()) {
        return words("report");
    }
    return time ? words("session_of") + " " + name.substr(0, 10) + " " + name.substr(11, 2) + ":" + name.substr(13, 2)
                : escape(name);
}

std::string notes_section(const std::vector<WrittenNote>& notes, const Words& words) {
    std::string rows;
    for (const WrittenNote& note : notes) {
        std::string who = escape(note.author);
        if (!note.role.empty()) {
            who += (who.empty() ? "" : ", ") + words(note.role);
        }
        rows += "<tr><td class=\"name\">" + escape(note.place) + "</td><td class=\"text\" dir=\"auto\">" +
                escape(note.text) + "</td><td class=\"quiet\">" + who + "<br>" + escape(note.time) + "</td></tr>";
    }
    return "<div class=\"scroll\"><table><thead><tr><th>" + words("note_on") + "</th><th>" + words("note_text") +
           "</th><th>" + words("note_by") + "</th></tr></thead><tbody>" + rows + "</tbody></table></div>";
}

/// The largest load on the page in units of its even share, and at least 2: before and after have the same colours.
double load_scale(const Input& input) {
    double scale = 2;
    for (const Training& training : input.trainings) {
        for (const Load& load : training.loads) {
            for (const double share : html::load_fits(load) ? load.shares : std::vector<double>()) {
                const double ratio = share * static_cast<double>(load.experts);
                scale = std::isfinite(ratio) ? std::max(scale, ratio) : scale;
            }
        }
    }
    return scale;
}

struct Page {
    std::string contents, body;
    /// A name that several parts have is told apart by its number.
    void add(std::string title, const std::string& section) {
        if (const int before = titles_[title]++; before > 0) {
            title += " (" + std::to_string(before + 1) + ")";
        }
        const std::string id = "part-" + std::to_string(++parts_);
        contents += "<li><a href=\"#" + id + "\">" + title + "</a></li>";
        body += "<section id=\"" + id + "\"><h2>" + title + "</h2>" + section + "</section>";
    }

 private:
    int parts_ = 0;
    std::map<std::string, int> titles_;
};

}  // namespace

std::string html_report(const Input& input) {
    const Words words(input.language);
    Page page;
    if (!input.notes.empty()) {
        page.add(words("notes"), notes_section(input.notes, words));
    }
    const double scale = load_scale(input);
    for (const Training& training : input.trainings) {
        page.add(words(training.imported ? "imported_curves" : "training") + words.colon() + escape(training.run.name),
                 training_section(training, scale, words));
    }
    for (const Comparison& comparison : input.comparisons) {
        page.add(words("comparison") + " " + std::to_string(comparison.number) + words.colon() +
                     escape(beginning(comparison.prompt)),
                 comparison_section(comparison, words));
    }
    for (std::size_t i = 0; i < input.probes.size(); ++i) {
        const Probe& probe = input.probes[i];
        page.add(words("probes") + words.colon() + escape(probe.run.name),
                 metadata(probe.run, words) + html::probe_section(probe, words, i));
    }
    const std::string title = title_of(input.title, words);
    std::string out =
        "<!DOCTYPE html>\n<html lang=\"" + std::string(words.code()) + "\"><head><meta charset=\"utf-8\">" +
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">" +
        "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"><title>" + title + "</title><style>" +
        std::string(kStyle) + colours() + "</style></head><body><main><header><h1>" + title +
        "</h1><p class=\"quiet\">" + escape(input.program) +
        (input.created.empty() ? std::string() : " · " + words("created") + " " + escape(input.created)) + "</p>";
    if (!input.problems.empty()) {
        out += "<div class=\"problems\"><b>" + words("problems") + "</b><ul>";
        for (const std::string& problem : input.problems) {
            out += "<li>" + escape(problem) + "</li>";
        }
        out += "</ul></div>";
    }
    if (page.body.empty()) {
        return out + "</header><p>" + words("nothing") + "</p></main></body></html>\n";
    }
    return out + "<nav aria-label=\"" + words("contents") + "\"><ul>" + page.contents + "</ul></nav></header>" +
           page.body + "</main></body></html>\n";
}

}  // namespace moescope::report
