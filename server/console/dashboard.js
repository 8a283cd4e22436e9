// Which of the schema's views are drawn for managers, and how. A view that the schema does not have is left out, so another schema has a dashboard of its own here or none.
//
// view: its rows are added up by `label`; series: [column, words] is a sum, [column, words, weight] a mean: each value counts as often as
// weight(row) says. order: a column by which labels stand (else by the label); top: only so many, by the first series; where: which rows.
export const DASHBOARD = [
  { title: "Pipeline by stage", view: "pipeline_by_stage", label: "stage", order: "pos", where: (r) => r.kind === "open", series: [["cents", "value"], ["weighted_cents", "weighted by chance"]] },
  { title: "Deals by stage", view: "pipeline_by_stage", label: "stage", order: "pos", series: [["deals", "deals"]] },
  { title: "Forecast by month", view: "forecast_weighted", label: "month", series: [["open_cents", "open"], ["weighted_cents", "weighted by chance"]] },
  { title: "Won and lost by month", view: "closing_rate", label: "month", series: [["won", "won"], ["lost", "lost"]] },
  { title: "Closing rate by month", view: "closing_rate", label: "month", series: [["rate_bp", "closing rate", (r) => r.won + r.lost]] },
  { title: "Leads by source", view: "leads_by_source", label: "source", series: [["leads", "leads"], ["qualified", "qualified"], ["converted", "converted"]] },
  { title: "Mean score of leads by source", view: "leads_by_source", label: "source", series: [["score", "mean score", (r) => r.scored]], derive: (r) => ({ ...r, score: r.scored ? r.points / r.scored : null }) },
  { title: "Tickets by month", view: "tickets_figures", label: "month", series: [["opened", "opened"], ["resolved", "resolved"]] },
  { title: "Response and resolution times", view: "tickets_figures", label: "month", series: [["first_response_ms", "first response", (r) => r.responded], ["resolution_ms", "resolution", (r) => r.resolved]] },
  { title: "Satisfaction by team", view: "csat_by_team", label: "team", series: [["csat_hundredths", "mean of 1 to 5", (r) => r.csat_n]] },
];
