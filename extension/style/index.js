import '@dermcap/widgets/style/shared.css';
import '@dermcap/widgets/style/browser.css';
import '@dermcap/widgets/style/compare.css';
