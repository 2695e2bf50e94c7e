// SPDX-License-Identifier: Apache-2.0
#include "recording.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <optional>
#include <string_view>

#include "open.h"
#include "report.h"
#include "text.h"

namespace snap::tool {
namespace {

constexpr std::string_view kFirstLine = "# vmsnap working set of the snapshot ";
constexpr std::string_view kColumns = ": region, offset, bytes";
constexpr std::size_t kMostBytes = 64u << 20;
constexpr std::size_t kMostShown = 80;

bool stays_as_it_is(char c) {
  const bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
  return letter || (c != '\0' && std::string_view("._-/@:+,=~").find(c) != std::string_view::npos);
}

std::string encoded(std::string_view name) {
  std::string out;
  for (const char c : name) out += stays_as_it_is(c) ? std::string(1, c) : fmt::format("%{:02X}", static_cast<unsigned char>(c));
  return out;
}

template <typename Number>
std::optional<Number> parse_hex(std::string_view text) {
  Number value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, 16);
  return error == std::errc{} && end == text.data() + text.size() ? std::optional(value) : std::nullopt;
}

std::optional<std::string> decoded(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      out += text[i];
      continue;
    }
    const auto digits = text.substr(i + 1, 2);
    const auto byte = parse_hex<unsigned char>(digits);
    if (digits.size() != 2 || !byte) return std::nullopt;
    out += static_cast<char>(*byte);
    i += 2;
  }
  return out;
}

std::optional<std::uint64_t> parse_number(std::string_view text) {
  if (text.starts_with("0x")) text.remove_prefix(2);
  return parse_hex<std::uint64_t>(text);
}

/// The words between blanks; at most `most`, and one more where there are more.
std::vector<std::string_view> words_of(std::string_view line, std::size_t most) {
  std::vector<std::string_view> words;
  while (words.size() <= most) {
    const std::size_t begin = line.find_first_not_of(" \t\r");
    if (begin == line.npos) break;
    line.remove_prefix(begin);
    const std::size_t end = std::min(line.find_first_of(" \t\r"), line.size());
    words.push_back(line.substr(0, end));
    line.remove_prefix(end);
  }
  return words;
}

std::string read_all(const std::string& path) {
  Input file(path, Format::kRaw);
  ByteSource& source = file.in_order();
  std::string text;
  std::vector<std::byte> piece(1u << 20);
  while (const std::size_t count = must(read_full(source, piece), file.name())) {
    text.append(reinterpret_cast<const char*>(piece.data()), count);
    if (text.size() > kMostBytes) throw Failure{kExitUnsupported, fmt::format("{}: is larger than a recording can be, 64 MiB", file.name())};
  }
  return text;
}

class RecordingParser {
 public:
  RecordingParser(const std::string& path, const Reader& reader) : path_(path), reader_(reader) {}

  std::vector<TouchedRange> parse(std::string_view text) {
    take_first(next_line(text));
    while (!text.empty()) {
      const std::string_view line = next_line(text);
      const auto words = words_of(line, 3);
      if (words.empty() || words[0].starts_with('#')) continue;
      if (ranges_.size() == kMostTouchedRanges) refuse(fmt::format("more than {} ranges", kMostTouchedRanges));
      ranges_.push_back(range_of(words, line));
      lines_.push_back(line_);
    }
    refuse_repeats();
    return std::move(ranges_);
  }

 private:
  [[noreturn]] void refuse(const std::string& why) const { throw Failure{kExitDamaged, fmt::format("{}: line {}: {}", path_, line_, why)}; }

  std::string_view next_line(std::string_view& text) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    const std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    ++line_;
    return line;
  }

  void take_first(std::string_view line) {
    if (!line.starts_with(kFirstLine)) refuse("is not the first line of a recording of a working set");
    line.remove_prefix(kFirstLine.size());
    const std::string_view digest = line.substr(0, std::min(line.find(':'), line.size()));
    if (digest != to_hex(reader_.digest())) {
      say(fmt::format("{}: was recorded with another snapshot, {}", path_, printable(digest.substr(0, kMostShown))));
    }
  }

  TouchedRange range_of(const std::vector<std::string_view>& words, std::string_view line) const {
    const auto name = decoded(words[0]);
    const auto offset = words.size() == 3 ? parse_number(words[1]) : std::nullopt;
    const auto length = words.size() == 3 ? parse_number(words[2]) : std::nullopt;
    if (!name || !offset || !length) refuse(fmt::format("'{}' is no region, offset and number of bytes", printable(line.substr(0, kMostShown))));
    const auto region = reader_.find(RegionKind::kMemory, *name);
    if (!region) refuse(fmt::format("the snapshot has no memory '{}'", printable(std::string_view(*name).substr(0, kMostShown))));
    const std::uint64_t size = reader_.regions()[*region].size;
    if (*length == 0) refuse("no bytes");
    if (*offset >= size || *length > size - *offset) refuse(fmt::format("ends past the region's {:#x} bytes", size));
    const std::uint64_t end = *offset + *length;
    if (*offset % kPageBytes != 0 || (end % kPageBytes != 0 && end != size)) refuse("is not whole pages of 0x1000 bytes");
    return {*region, *offset / kPageBytes, *length / kPageBytes + (*length % kPageBytes != 0 ? 1 : 0)};
  }

  void refuse_repeats() {
    std::vector<std::size_t> order(ranges_.size());
    for (std::size_t i = 0; i < order.size(); ++i) order[i] = i;
    std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
      return std::pair(ranges_[a].region, ranges_[a].first_page) < std::pair(ranges_[b].region, ranges_[b].first_page);
    });
    for (std::size_t i = 1; i < order.size(); ++i) {
      const TouchedRange &before = ranges_[order[i - 1]], &range = ranges_[order[i]];
      if (before.region != range.region || range.first_page - before.first_page >= before.pages) continue;
      const auto [first, second] = std::minmax(lines_[order[i - 1]], lines_[order[i]]);
      line_ = second;
      refuse(fmt::format("has a page that line {} has", first));
    }
  }

  const std::string& path_;
  const Reader& reader_;
  std::uint64_t line_ = 0;
  std::vector<TouchedRange> ranges_;
  std::vector<std::uint64_t> lines_;  // of each range
};

}  // namespace

std::uint64_t range_bytes(const RegionInfo& region, const TouchedRange& range) {
  return std::min(range.pages * kPageBytes, region.size - range.first_page * kPageBytes);
}

std::uint64_t touched_bytes(const Reader& reader, std::span<const TouchedRange> ranges) {
  std::uint64_t bytes = 0;
  for (const TouchedRange& range : ranges) bytes += range_bytes(reader.regions()[range.region], range);
  return bytes;
}

std::string recording_text(const Reader& reader, std::span<const TouchedRange> ranges) {
  std::string text = fmt::format("{}{}{}\n", kFirstLine, to_hex(reader.digest()), kColumns);
  for (const TouchedRange& range : ranges) {
    const RegionInfo& region = reader.regions()[range.region];
    text += fmt::format("{} {:#x} {:#x}\n", encoded(region.name), range.first_page * kPageBytes, range_bytes(region, range));
  }
  return text;
}

std::vector<TouchedRange> read_recording(const std::string& path, const Reader& reader) {
  const std::string text = read_all(path);
  return RecordingParser(path == "-" ? "standard input" : path, reader).parse(text);
}

}  // namespace snap::tool
