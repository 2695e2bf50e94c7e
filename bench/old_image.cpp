// SPDX-License-Identifier: Apache-2.0
// Figure 5: an image of the old layout, whose memory is one zlib stream that only one thread can inflate.
#include <fcntl.h>
#include <isa-l.h>
#include <unistd.h>
#include <zlib.h>

#include <algorithm>

#include "guest_image.h"
#include "snap/import.h"

namespace bench {

namespace {

constexpr double kMega = 1e6;

Sample convert(const Setup& setup, const Coding& coding, const std::string& to) {
  ::unlink(to.c_str());
  return timed([&] {
    const File image(setup.old_image, O_RDONLY);
    const File out(to, O_CREAT | O_RDWR | O_TRUNC);
    const auto source = snap::file_source(image.fd());
    const auto sink = snap::stream_sink(out.fd());
    auto writer = must(snap::Writer::create(*sink, writer_options(coding, setup.threads)), "a writer");
    must(snap::import_qcow2(*source, *writer, {}), "importing an old image");
    must(writer->finish(), "finishing a snapshot");
  });
}

/// Inflates a stream that is given in pieces of `in_bytes` and asked for in pieces of `out_bytes` in turn; `total` is what came.
Sample inflate_only(std::vector<unsigned char>& stream, std::size_t in_bytes, const std::vector<std::size_t>& out_bytes,
                    std::uint64_t& total) {
  return timed([&] {
    z_stream zlib{};
    if (::inflateInit(&zlib) != Z_OK) die("zlib does not start");
    std::vector<unsigned char> out(*std::max_element(out_bytes.begin(), out_bytes.end()));
    std::size_t given = 0;
    int status = Z_OK;
    for (std::size_t turn = 0; status != Z_STREAM_END; ++turn) {
      zlib.next_out = out.data();
      zlib.avail_out = static_cast<unsigned>(out_bytes[turn % out_bytes.size()]);
      while (zlib.avail_out != 0 && status != Z_STREAM_END) {
        if (zlib.avail_in == 0) {
          if (given == stream.size()) die("the zlib stream ends early");
          zlib.next_in = stream.data() + given;
          zlib.avail_in = static_cast<unsigned>(std::min(in_bytes, stream.size() - given));
          given += zlib.avail_in;
        }
        status = ::inflate(&zlib, Z_PARTIAL_FLUSH);
        if (status != Z_OK && status != Z_STREAM_END && status != Z_BUF_ERROR) die("zlib cannot inflate the stream");
      }
    }
    total = zlib.total_out;
    ::inflateEnd(&zlib);
  });
}

/// The fastest inflater known for this, alone on its thread: what bounds a conversion where processors do not.
Sample inflate_fast(std::vector<unsigned char>& stream) {
  return timed([&] {
    std::vector<unsigned char> out(256 * 1024);
    auto state = std::make_unique<inflate_state>();
    isal_inflate_init(state.get());
    state->crc_flag = ISAL_ZLIB;
    state->next_in = stream.data();
    state->avail_in = static_cast<std::uint32_t>(stream.size());
    while (state->block_state != ISAL_BLOCK_FINISH) {
      state->next_out = out.data();
      state->avail_out = static_cast<std::uint32_t>(out.size());
      if (isal_inflate(state.get()) != ISAL_DECOMP_OK || state->avail_out == out.size()) die("ISA-L cannot inflate the stream");
    }
  });
}

std::vector<unsigned char> load(const std::string& path) {
  std::vector<unsigned char> bytes(file_bytes(path));
  const File file(path, O_RDONLY);
  std::size_t done = 0;
  while (done < bytes.size()) {
    const ssize_t got = ::read(file.fd(), bytes.data() + done, bytes.size() - done);
    if (got <= 0) die("cannot read " + path);
    done += static_cast<std::size_t>(got);
  }
  return bytes;
}

}  // namespace

void measure_old_image(const Setup& setup) {
  if (setup.old_image.empty() || setup.old_stream.empty()) return;
  std::vector<unsigned char> stream = load(setup.old_stream);
  warm_file(setup.old_image);
  const ScratchFile out(setup.work, "converted");
  std::uint64_t total = 0;
  const Coding lz4{snap::Codec::kLz4, 1};
  const Coding zstd{snap::Codec::kZstd, 3};
  const auto times = contest(
      {
          {"lz4", [&] { return convert(setup, lz4, out.path()); }},
          {"zstd", [&] { return convert(setup, zstd, out.path()); }},
          {"zlib", [&] { return inflate_only(stream, stream.size(), {64 * 1024}, total); }},
          // The old loader asked for a byte that says what follows, then for a block.
          {"old",
           [&] {
             return inflate_only(stream, 4096, {1, 1024}, total);
           }},
          {"isa-l", [&] { return inflate_fast(stream); }},
      },
      setup.rounds);
  const double bytes = static_cast<double>(total);
  for (const auto& [series, coding] : {std::pair(times[0], lz4), std::pair(times[1], zstd)}) {
    const std::string what = "convert an old image, " + coding_name(coding);
    setup.report->add_rate("5", what, bytes, kMega, "MB/s", series, "zlib inflate alone, 64 KiB", times[2], Target{2.3, true});
    setup.report->add_rate("5", what, bytes, kMega, "MB/s", series, "as the old loader: 4 KiB, 1 KiB", times[3], Target{3, true});
    setup.report->add_rate("5", what, bytes, kMega, "MB/s", series, "ISA-L inflate alone", times[4]);
  }
}

}  // namespace bench
