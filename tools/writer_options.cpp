// SPDX-License-Identifier: Apache-2.0
#include "writer_options.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <charconv>
#include <string_view>

#include "open.h"
#include "report.h"
#include "text.h"

namespace snap::tool {
namespace {

constexpr std::uint64_t kMinBlock = 16u << 10, kMaxBlock = 4u << 20;  // SPEC 15

void set_codec(WriterOptions& options, std::string_view value) {
  for (const Codec codec : {Codec::kStore, Codec::kLz4, Codec::kZstd}) {
    if (value == codec_name(codec)) {
      options.codec = codec;
      return;
    }
  }
  fail_usage(fmt::format("codec={}: lz4, zstd and store are known", value));
}

void set_delta(WriterOptions& options, std::string_view value) {
  static constexpr std::pair<std::string_view, DeltaForm> kForms[] = {
      {"auto", DeltaForm::kAuto}, {"raw", DeltaForm::kRaw}, {"xor", DeltaForm::kXor}, {"dictionary", DeltaForm::kDictionary}};
  for (const auto& [name, form] : kForms) {
    if (value == name) {
      options.delta = form;
      return;
    }
  }
  fail_usage(fmt::format("delta={}: auto, raw, xor and dictionary are known", value));
}

void set_option(WriterOptions& options, std::string_view item) {
  const auto equals = item.find('=');
  const std::string_view key = item.substr(0, equals);
  const std::string_view value = equals == std::string_view::npos ? "" : item.substr(equals + 1);
  if (key == "block_size") {
    const auto bytes = parse_bytes(value);
    if (!bytes || *bytes < kMinBlock || *bytes > kMaxBlock || !std::has_single_bit(*bytes)) {
      fail_usage(fmt::format("block_size={}: a power of two from 16K to 4M is needed", value));
    }
    options.block_bytes = static_cast<std::uint32_t>(*bytes);
  } else if (key == "codec") {
    set_codec(options, value);
  } else if (key == "level") {
    const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), options.level);
    if (error != std::errc{} || end != value.data() + value.size()) fail_usage(fmt::format("level={}: not a number", value));
  } else if (key == "delta") {
    set_delta(options, value);
  } else {
    fail_usage(fmt::format("-o {}: block_size=, codec=, level= and delta= are known", item));
  }
}

void check_level(const WriterOptions& options) {
  const int level = options.level;
  if (level == WriterOptions::kDefaultLevel) return;
  if (options.codec == Codec::kStore) fail_usage("codec=store has no levels");
  if (options.codec == Codec::kLz4 && (level < -100 || level == 0 || level > 12)) {
    fail_usage("lz4 has the levels 1 to 12, and -1 to -100");
  }
  if (options.codec == Codec::kZstd && (level < -100 || level == 0 || level > 22)) {
    fail_usage("zstd has the levels 1 to 22, and -1 to -100");
  }
}

}  // namespace

WriterOptions writer_options(const std::vector<std::string>& lists, unsigned threads) {
  WriterOptions options{.threads = threads, .spool_dir_fd = temporary_directory()};
  for (const std::string& list : lists) {
    for (std::size_t begin = 0; begin <= list.size();) {
      const std::size_t end = std::min(list.find(',', begin), list.size());
      set_option(options, std::string_view(list).substr(begin, end - begin));
      begin = end + 1;
    }
  }
  check_level(options);
  return options;
}

bool chooses_block_size(const std::vector<std::string>& lists) {
  return std::any_of(lists.begin(), lists.end(), [](const std::string& list) {
    return list.starts_with("block_size=") || list.find(",block_size=") != list.npos;
  });
}

}  // namespace snap::tool
