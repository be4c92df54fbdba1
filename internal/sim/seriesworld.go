package sim

import "time"

// RecordSeries makes a store and fills it at each scrape interval of the world
// from then on: with the series that the platform exports for each started
// Machine, and with those of the apps' loads. The interval is the world's.
func (w *World) RecordSeries(opts SeriesOptions) *SeriesStore {
	opts.Interval = w.scrapeEach
	store := NewSeriesStore(opts)
	w.OnScrape(func(now time.Time) {
		w.eachApp(func(a *app) {
			scrape := Scrape{Org: a.org.slug, App: a.name, Machines: a.loadMachines()}
			if loads := Loads(a.loads); len(loads) > 0 {
				scrape.Samples, scrape.Busy = loads.Series(now), loads.Busy
			}
			store.Add(now, scrape)
		})
		store.dropUnseen(now)
	})
	return store
}
