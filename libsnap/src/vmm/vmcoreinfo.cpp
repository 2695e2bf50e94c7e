// SPDX-License-Identifier: Apache-2.0
#include "vmm/vmcoreinfo.h"

#include <algorithm>
#include <charconv>
#include <string_view>

#include "base/bytes.h"
#include "base/fail.h"
#include "snap/restore.h"

namespace snap {
namespace {

constexpr std::string_view kBegins = "OSRELEASE=";

/// The text in a page that is VMCOREINFO, or nothing.
std::string_view text_in(std::string_view page) {
  if (!page.starts_with(kBegins)) return {};
  const std::string_view text = page.substr(0, page.find('\0'));
  const bool legal = std::all_of(text.begin(), text.end(), [](char c) { return c == '\n' || (c >= ' ' && c <= '~'); });
  return legal && text.find("\nPAGESIZE=") != text.npos && text.find("\nSYMBOL(") != text.npos ? text : std::string_view();
}

/// Of a piece of memory there goes out the first text that it has.
Result<void> search(const RegionPiece& piece, Bytes& out) {
  for (auto bytes = piece.bytes; bytes.size() >= kPageBytes && out.empty(); bytes = bytes.subspan(kPageBytes)) {
    append(out, bytes_of(text_in(text_of(bytes.first(kPageBytes)))));
  }
  return {};
}

/// Takes the first text, and ends with an error then.
class FirstText final : public ByteSink {
 public:
  Result<void> write(std::span<const std::byte> bytes) override {
    text_ = text_of(bytes);
    return text_.empty() ? Result<void>() : fail(Code::kCancelled, "found");
  }
  const std::string& text() const { return text_; }

 private:
  std::string text_;
};

/// The next stretches of a region that may hold anything, from `offset` on; those close together are one.
Result<std::vector<ChangedRange>> next_stretches(Reader& reader, std::size_t region, std::uint64_t& offset) {
  constexpr std::uint64_t kClose = 1u << 20;
  constexpr std::size_t kMost = 4096;
  std::vector<ChangedRange> stretches;
  for (const std::uint64_t size = reader.regions()[region].size; offset < size && stretches.size() < kMost;) {
    SNAP_TRY_ASSIGN(extent, reader.extent(region, offset));
    if (extent.data && !stretches.empty() && offset - (stretches.back().offset + stretches.back().length) < kClose) {
      stretches.back().length = offset + extent.length - stretches.back().offset;
    } else if (extent.data) {
      stretches.push_back({offset, extent.length, false});
    }
    offset += extent.length;
  }
  return stretches;
}

/// The number that is all of the line behind its key.
template <typename Number>
std::optional<Number> number_behind(std::string_view text, const std::string& key, int base) {
  for (std::size_t at = 0; (at = text.find(key, at)) != text.npos; ++at) {
    if (at != 0 && text[at - 1] != '\n') continue;
    const std::string_view value = text.substr(at + key.size(), text.find('\n', at) - at - key.size());
    Number number{};
    const auto parsed = std::from_chars(value.data(), value.data() + value.size(), number, base);
    return parsed.ec == std::errc() && parsed.ptr == value.data() + value.size() ? std::optional(number) : std::nullopt;
  }
  return std::nullopt;
}

std::string key(std::string_view kind, std::string_view name) { return std::string(kind) + "(" + std::string(name) + ")="; }

}  // namespace

std::optional<std::int64_t> vmcoreinfo_number(std::string_view text, std::string_view name) {
  return number_behind<std::int64_t>(text, key("NUMBER", name), 10);
}

std::optional<std::uint64_t> vmcoreinfo_symbol(std::string_view text, std::string_view name) {
  return number_behind<std::uint64_t>(text, key("SYMBOL", name), 16);
}

std::optional<std::uint64_t> vmcoreinfo_kernel_offset(std::string_view text) { return number_behind<std::uint64_t>(text, "KERNELOFFSET=", 16); }

Result<std::string> find_vmcoreinfo(Reader& reader, std::span<const std::size_t> regions, unsigned threads, const std::atomic<bool>* cancel) {
  FirstText first;
  for (const std::size_t region : regions) {
    for (std::uint64_t offset = 0; offset < reader.regions()[region].size;) {
      SNAP_TRY_ASSIGN(stretches, next_stretches(reader, region, offset));
      const auto done = restore_encoded(reader, region, stretches, search, first, {.threads = threads, .cancel = cancel});
      if (!first.text().empty()) return first.text();
      if (!done) return done.error();
    }
  }
  return std::string();
}

}  // namespace snap
