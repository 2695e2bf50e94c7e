// SPDX-License-Identifier: Apache-2.0
#include "report.h"

#include <cmath>

namespace bench {

namespace {

std::string number(double value) {
  char text[32];
  const double size = std::fabs(value);
  std::snprintf(text, sizeof text, size >= 100 ? "%.0f" : size >= 10 ? "%.1f" : "%.2f", value);
  return text;
}

std::string range(const Stat& stat) {
  if (stat.least == stat.most) return number(stat.median);
  return number(stat.median) + " (" + number(stat.least) + "–" + number(stat.most) + ")";
}

// printf counts bytes, a table characters.
std::string padded(const std::string& text, std::size_t width) {
  std::size_t characters = 0;
  for (const char c : text) characters += (static_cast<unsigned char>(c) & 0xC0) != 0x80;
  return characters < width ? text + std::string(width - characters, ' ') : text;
}

std::string target_text(const Figure& figure) {
  if (!figure.target) return "";
  return (figure.target->at_least ? "≥ " : "≤ ") + number(figure.target->bound);
}

std::string quoted(const std::string& text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    out += c;
  }
  return out + "\"";
}

std::string json_stat(const Stat& stat) {
  char text[120];
  std::snprintf(text, sizeof text, "{\"median\": %.6g, \"min\": %.6g, \"max\": %.6g}", stat.median, stat.least, stat.most);
  return text;
}

std::string json_number(std::optional<double> value) {
  if (!value) return "null";
  char text[32];
  std::snprintf(text, sizeof text, "%.6g", *value);
  return text;
}

}  // namespace

void Report::add(const Figure& figure) {
  figures_.push_back(figure);
  std::fprintf(stderr, "  %s %s: %s %s\n", figure.part.c_str(), figure.what.c_str(), range(figure.ours).c_str(),
               figure.unit.c_str());
}

void Report::add_rate(const std::string& part, const std::string& what, double amount, double unit_size, const std::string& unit,
                      const Series& ours, const std::string& peer_name, const Series& peer, std::optional<Target> target) {
  Figure figure{part, what, unit, rate(amount, ours.wall, unit_size), peer_name, rate(amount, peer.wall, unit_size)};
  figure.result = peer.wall.median / ours.wall.median;
  figure.result_unit = "×";
  figure.best_ratio = peer.wall.least / ours.wall.least;
  figure.cpu_ratio = peer.cpu.median / ours.cpu.median;
  figure.target = target;
  add(figure);
}

void Report::print(std::FILE* to) const {
  for (const auto& [key, value] : machine_) std::fprintf(to, "%s: %s\n", key.c_str(), value.c_str());
  std::fprintf(to, "\n%s%s%s%s%s%s%s%s\n", padded("", 4).c_str(), padded("figure", 44).c_str(),
               padded("measured (min–max)", 31).c_str(), padded("peer", 32).c_str(), padded("measured", 24).c_str(),
               padded("result", 10).c_str(), padded("best/cpu", 12).c_str(), "target");
  for (const Figure& figure : figures_) {
    std::string side = figure.best_ratio ? number(*figure.best_ratio) : "";
    if (figure.cpu_ratio) side.append("/").append(number(*figure.cpu_ratio));
    const std::string result = figure.result_unit.empty() ? "" : number(figure.result) + " " + figure.result_unit;
    std::string target = target_text(figure);
    if (figure.target) target += figure.met() ? "  ok" : "  MISSED";
    std::fprintf(to, "%s%s%s%s%s%s%s%s\n", padded(figure.part, 4).c_str(), padded(figure.what, 44).c_str(),
                 padded(range(figure.ours) + " " + figure.unit, 31).c_str(), padded(figure.peer_name, 32).c_str(),
                 padded(figure.peer_name.empty() ? "" : range(figure.peer), 24).c_str(), padded(result, 10).c_str(),
                 padded(side, 12).c_str(), target.c_str());
  }
}

void Report::write_json(std::FILE* to) const {
  std::fprintf(to, "{\n  \"machine\": {");
  for (std::size_t i = 0; i < machine_.size(); ++i) {
    std::fprintf(to, "%s%s: %s", i != 0 ? ", " : "", quoted(machine_[i].first).c_str(), quoted(machine_[i].second).c_str());
  }
  std::fprintf(to, "},\n  \"figures\": [");
  for (std::size_t i = 0; i < figures_.size(); ++i) {
    const Figure& figure = figures_[i];
    std::fprintf(to, "%s\n    {\"part\": %s, \"what\": %s, \"unit\": %s, \"measured\": %s", i != 0 ? "," : "",
                 quoted(figure.part).c_str(), quoted(figure.what).c_str(), quoted(figure.unit).c_str(),
                 json_stat(figure.ours).c_str());
    if (!figure.peer_name.empty())
      std::fprintf(to, ", \"peer\": %s, \"peer_measured\": %s", quoted(figure.peer_name).c_str(), json_stat(figure.peer).c_str());
    if (!figure.result_unit.empty()) {
      std::fprintf(to, ", \"result\": %.6g, \"result_unit\": %s, \"best_ratio\": %s, \"cpu_ratio\": %s", figure.result,
                   quoted(figure.result_unit).c_str(), json_number(figure.best_ratio).c_str(),
                   json_number(figure.cpu_ratio).c_str());
    }
    if (figure.target) {
      std::fprintf(to, ", \"target\": {\"%s\": %.6g}, \"met\": %s", figure.target->at_least ? "at_least" : "at_most",
                   figure.target->bound, figure.met() ? "true" : "false");
    }
    std::fprintf(to, "}");
  }
  std::fprintf(to, "\n  ]\n}\n");
}

}  // namespace bench
